import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { Batch, fillBatch, holdsIssue, type PacketSource } from "./batch.ts";
import { type EdgeClient, type EdgeFailure, edgeFailure } from "./edge-client.ts";
import { bridgeResponses, splitResponses } from "./response-packets.ts";

/** What a dispatcher needs to know. */
export interface DispatcherOptions {
  readonly maxBatchesInFlight: number;
  /** From a packet's receipt to its answer. */
  readonly deadlineMs: number;
  readonly observer: DispatchObserver;
}

/** Who counts and logs. */
export interface DispatchObserver {
  batchSent(packets: number): void;
  /** An attempt is over; undefined is a success. */
  attemptDone(durationMs: number, failure: EdgeFailure | undefined): void;
}

/** A packet that has waited so long that less of the deadline is left is not asked any more. */
const MIN_BUDGET_SHARE = 0.25;

/** The share of the time that the first of two attempts may take: longer than the edge waits for its store (1 s of 2 s). */
const FIRST_ATTEMPT_SHARE = 0.6;

/**
 * Collects what waits on all connections into batches and brings back the answers. A packet that comes alone leaves at the
 * end of its turn; few gather for a moment ({@link BatchCoalescer}); with all slots taken they wait, and batches grow.
 */
export class BatchDispatcher {
  readonly #edge: EdgeClient;
  readonly #options: DispatcherOptions;
  /** Who has packets and none in flight, in the order in which they came. */
  readonly #ready = new Set<PacketSource>();
  readonly #gathering = new BatchCoalescer();
  #inFlight = 0;
  #flushScheduled = false;
  #gatheringTimer: NodeJS.Timeout | undefined;

  constructor(edge: EdgeClient, options: DispatcherOptions) {
    this.#edge = edge;
    this.#options = options;
  }

  get batchesInFlight(): number {
    return this.#inFlight;
  }

  /** Packets that wait for a batch, those of connections whose earlier packets are in one left out. */
  get packetsWaiting(): number {
    let packets = 0;
    for (const source of this.#ready) packets += source.waiting;
    return packets;
  }

  /** The source has packets that wait and none in flight. */
  enqueue(source: PacketSource): void {
    this.#ready.add(source);
    this.#gathering.requested(source, performance.now());
    this.#scheduleFlush();
  }

  /** The source is gone; what it has in flight is still brought back to it. */
  remove(source: PacketSource): void {
    this.#ready.delete(source);
    this.#gathering.removed(source);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#inFlight >= this.#options.maxBatchesInFlight) return;
    this.#flushScheduled = true;
    // After this turn's reads: what came on other connections at the same time leaves in the same batch.
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const nowMs = performance.now();
    const expiredMs = nowMs - this.#options.deadlineMs * (1 - MIN_BUDGET_SHARE);
    while (this.#ready.size > 0 && this.#inFlight < this.#options.maxBatchesInFlight) {
      const gatherMs = this.#gathering.remainingWaitMs(this.#ready, this.#inFlight, nowMs);
      if (gatherMs > 0) {
        this.#flushAfter(gatherMs);
        return;
      }
      const batch = new Batch();
      fillBatch(batch, this.#ready, expiredMs);
      // What a full batch leaves behind has waited as long as what was in it.
      if (this.#ready.size === 0) this.#gathering.flushed();
      if (batch.packets === 0) continue;
      this.#inFlight += 1;
      this.#options.observer.batchSent(batch.packets);
      // It does not reject: what #run catches is all that can go wrong.
      void this.#run(batch);
    }
  }

  #flushAfter(gatherMs: number): void {
    // One timer is enough: if it comes too early for who gathers then, it is set again.
    this.#gatheringTimer ??= setTimeout(() => {
      this.#gatheringTimer = undefined;
      this.#scheduleFlush();
    }, Math.ceil(gatherMs));
  }

  async #run(batch: Batch): Promise<void> {
    const requests = batch.body();
    const parts = await this.#ask(batch, requests);
    this.#inFlight -= 1;
    const nowMs = performance.now();
    let requestAt = 0;
    let index = 0;
    for (const segment of batch.segments) {
      const asked = requests.subarray(requestAt, requestAt + segment.bytes);
      this.#gathering.responded(segment.source, nowMs);
      segment.source.receiveResponses(parts?.[index] ?? bridgeResponses(asked, segment.packets, Status.Unavailable));
      requestAt += segment.bytes;
      index += 1;
    }
    this.#scheduleFlush();
  }

  /** The answers of each segment, undefined if the edge could not be asked within the deadline. */
  async #ask(batch: Batch, requests: Uint8Array): Promise<Uint8Array[] | undefined> {
    const deadlineAtMs = batch.oldestMs + this.#options.deadlineMs;
    const leftMs = deadlineAtMs - performance.now();
    const once = holdsIssue(requests);
    const first = await this.#attempt(batch, requests, once ? leftMs : leftMs * FIRST_ATTEMPT_SHARE);
    if (Array.isArray(first)) return first;
    const secondMs = deadlineAtMs - performance.now();
    if (once || !first.worthRetrying || secondMs <= 0) return undefined;
    const second = await this.#attempt(batch, requests, secondMs);
    return Array.isArray(second) ? second : undefined;
  }

  async #attempt(batch: Batch, requests: Uint8Array, timeoutMs: number): Promise<Uint8Array[] | EdgeFailure> {
    const startMs = performance.now();
    const result = await this.#edge.post(requests, Math.max(1, Math.floor(timeoutMs)));
    const outcome = result.kind === "failed" ? result : splitOf(batch, requests, result.answers);
    const durationMs = performance.now() - startMs;
    this.#gathering.recordLatency(durationMs);
    this.#options.observer.attemptDone(durationMs, Array.isArray(outcome) ? undefined : outcome);
    return outcome;
  }
}

function splitOf(batch: Batch, requests: Uint8Array, answers: Uint8Array): Uint8Array[] | EdgeFailure {
  const parts = splitResponses(requests, batch.segments, answers);
  return typeof parts === "string" ? edgeFailure("edge_bad_answer", parts) : parts;
}

/**
 * So many packets are worth a request of their own: on its whole way a request costs about 1.5 ms of CPU, each packet in it
 * 3 us (docs/performance.md).
 */
const ENOUGH_PACKETS = MAX_BATCH_REQUESTS / 2;

/** What waits is never held back for longer, however long the edge takes. */
const MAX_GATHERING_MS = 2;

/** The weight of the newest value in a mean. */
const NEWEST_WEIGHT = 1 / 8;

/**
 * Decides whether what waits leaves now or gathers: a request to the edge costs far more than the packets in it. Few
 * packets gather while more are likely to come in a moment: a batch is in flight, or connections that were just answered
 * have not asked again, if most do so. They gather for at most as long as an answer takes, and 2 ms; alone, a packet
 * leaves at once.
 */
export class BatchCoalescer {
  /** Who was answered and may ask again in a moment. */
  readonly #expected = new Set<PacketSource>();
  #answeredMs = 0;
  /** The share of those expected who did ask again in time. */
  #returningShare = 0;
  #meanAnswerMs = 0;
  #sinceMs: number | undefined;

  /** The edge answered a batch, after so long. */
  recordLatency(durationMs: number): void {
    this.#meanAnswerMs += (durationMs - this.#meanAnswerMs) * NEWEST_WEIGHT;
  }

  responded(source: PacketSource, nowMs: number): void {
    this.#answeredMs = nowMs;
    this.#expected.add(source);
  }

  /** The source has asked again. */
  requested(source: PacketSource, nowMs: number): void {
    this.#giveUpLate(nowMs);
    if (this.#expected.delete(source)) this.#returningShare += (1 - this.#returningShare) * NEWEST_WEIGHT;
  }

  /** The source is gone. */
  removed(source: PacketSource): void {
    this.#expected.delete(source);
  }

  /** What waited has left. */
  flushed(): void {
    this.#sinceMs = undefined;
  }

  /** For how long what waits in `ready` is to gather from now on; 0: it leaves. */
  remainingWaitMs(ready: Iterable<PacketSource>, batchesInFlight: number, nowMs: number): number {
    this.#giveUpLate(nowMs);
    const moreAreLikely = batchesInFlight > 0 || (this.#expected.size > 0 && this.#returningShare > 0.5);
    if (!moreAreLikely || areEnough(ready)) return 0;
    this.#sinceMs ??= nowMs;
    return Math.max(0, this.#sinceMs + this.#limitMs - nowMs);
  }

  get #limitMs(): number {
    return Math.min(this.#meanAnswerMs, MAX_GATHERING_MS);
  }

  #giveUpLate(nowMs: number): void {
    if (nowMs - this.#answeredMs < this.#limitMs) return;
    this.#returningShare *= (1 - NEWEST_WEIGHT) ** this.#expected.size;
    this.#expected.clear();
  }
}

function areEnough(ready: Iterable<PacketSource>): boolean {
  let packets = 0;
  for (const { waiting } of ready) {
    packets += waiting;
    if (packets >= ENOUGH_PACKETS) return true;
  }
  return false;
}
