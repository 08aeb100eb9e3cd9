import type { Lookup } from "../../protocol/leases/leased-sessions.ts";
import { ProtocolError } from "../../protocol/packet-framing.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { KeptSessions } from "../leases/kept-sessions.ts";
import {
  Batch,
  bridgeResponses,
  fillBatch,
  holdsIssue,
  LANES,
  Lane,
  type PacketSource,
  splitResponses,
} from "./batch.ts";
import { type EdgeClient, type EdgeFailure, type EdgeFailureCode, edgeFailure } from "./edge-client.ts";

/** What a dispatcher needs to know. */
export interface DispatcherOptions {
  /** Of each {@link Lane}. */
  readonly maxBatchesInFlight: number;
  /** From a packet's receipt to its response, without {@link revocationBoundMs}. */
  readonly deadlineMs: number;
  /** How much longer the edge may take for a write: it waits for the bridges that hold leases. */
  readonly revocationBoundMs: () => number;
  /** Absent: nothing is kept. */
  readonly kept: KeptSessions | undefined;
  readonly metrics: DispatchMetrics;
  readonly failureLog: { log(failure: EdgeFailure): void };
}

/** Counts batches and attempts. */
export interface DispatchMetrics {
  batchSent(packets: number): void;
  /** An attempt ended; `failure` is undefined if it succeeded. */
  attemptDone(durationMs: number, failure: EdgeFailureCode | undefined): void;
}

/** The bridge sends a packet only while at least this share of its deadline is left. */
const MIN_BUDGET_SHARE = 0.25;

/** The share of the time that the first of two attempts may take: longer than the edge waits for its store (1 s of 2 s). */
const FIRST_ATTEMPT_SHARE = 0.6;

/**
 * Sends the packets of all connections to the edge in batches, and passes each connection its responses. Each {@link Lane} has its
 * own batches and its own slots for them.
 */
export class BatchDispatcher {
  readonly #lanes: readonly BatchLane[];

  constructor(edge: EdgeClient, options: DispatcherOptions) {
    this.#lanes = LANES.map((lane) => new BatchLane(lane, edge, options));
  }

  get batchesInFlight(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.batchesInFlight, 0);
  }

  /** Packets that wait for a batch, without those of connections that have packets in flight. */
  get packetsWaiting(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.packetsWaiting, 0);
  }

  /** The source has waiting packets and none in flight. */
  enqueue(source: PacketSource): void {
    for (const lane of this.#lanes) {
      if (lane.lane === source.lane) lane.enqueue(source);
      else lane.leave(source);
    }
  }

  /** The source's connection ended. It still gets the responses to its packets in flight. */
  remove(source: PacketSource): void {
    for (const lane of this.#lanes) lane.remove(source);
  }
}

/**
 * The batches of one lane. A packet that is alone is sent at the end of the event loop's turn; few packets may wait for more
 * ({@link BatchCoalescer}). While all slots are in use, packets wait and the next batch grows.
 */
class BatchLane {
  readonly lane: Lane;
  readonly #edge: EdgeClient;
  readonly #options: DispatcherOptions;
  /** The sources with waiting packets and none in flight, in the order in which they were enqueued. */
  readonly #ready = new Set<PacketSource>();
  readonly #coalescer = new BatchCoalescer();
  #inFlight = 0;
  #flushScheduled = false;
  #coalescingTimer: NodeJS.Timeout | undefined;

  constructor(lane: Lane, edge: EdgeClient, options: DispatcherOptions) {
    this.lane = lane;
    this.#edge = edge;
    this.#options = options;
  }

  get batchesInFlight(): number {
    return this.#inFlight;
  }

  get packetsWaiting(): number {
    let packets = 0;
    for (const source of this.#ready) packets += source.waiting;
    return packets;
  }

  enqueue(source: PacketSource): void {
    this.#ready.add(source);
    this.#coalescer.requested(source, performance.now());
    this.#scheduleFlush();
  }

  /** The source's next packet has another lane. */
  leave(source: PacketSource): void {
    this.#ready.delete(source);
  }

  remove(source: PacketSource): void {
    this.#ready.delete(source);
    this.#coalescer.removed(source);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#inFlight >= this.#options.maxBatchesInFlight) return;
    this.#flushScheduled = true;
    // After the reads of this turn: packets that arrived on other connections at the same time go into the same batch.
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const nowMs = performance.now();
    const expiredMs = nowMs - this.#options.deadlineMs * (1 - MIN_BUDGET_SHARE);
    while (this.#ready.size > 0 && this.#inFlight < this.#options.maxBatchesInFlight) {
      const waitMs = this.#coalescer.remainingWaitMs(this.#ready, this.#inFlight, nowMs);
      if (waitMs > 0) {
        this.#flushAfter(waitMs);
        return;
      }
      const batch = new Batch(this.lane);
      fillBatch(batch, this.#ready, expiredMs);
      // Packets that a full batch left behind have waited as long as those in it, so their wait does not start anew.
      if (this.#ready.size === 0) this.#coalescer.flushed();
      if (batch.packets === 0) continue;
      this.#inFlight += 1;
      this.#options.metrics.batchSent(batch.packets);
      // #send handles all failures, so the promise does not reject.
      void this.#send(batch);
    }
  }

  #flushAfter(waitMs: number): void {
    // One timer is enough: if it fires too early for later packets, #flush sets it again.
    this.#coalescingTimer ??= setTimeout(() => {
      this.#coalescingTimer = undefined;
      this.#scheduleFlush();
    }, Math.ceil(waitMs));
  }

  async #send(batch: Batch): Promise<void> {
    const requests = batch.body();
    const responses = await this.#responsesTo(batch, requests);
    this.#inFlight -= 1;
    const nowMs = performance.now();
    let requestAt = 0;
    let index = 0;
    for (const { source, packets, bytes } of batch.segments) {
      const own = requests.subarray(requestAt, requestAt + bytes);
      this.#coalescer.responded(source, nowMs);
      source.receiveResponses(responses?.[index] ?? bridgeResponses(own, packets, Status.Unavailable), own);
      requestAt += bytes;
      index += 1;
    }
    this.#scheduleFlush();
  }

  /** The responses to each segment, undefined if the edge did not give them within the deadline. */
  async #responsesTo(batch: Batch, requests: Uint8Array): Promise<readonly Uint8Array[] | undefined> {
    const waitMs = this.lane === Lane.Read ? 0 : this.#options.revocationBoundMs();
    const deadlineAtMs = batch.oldestMs + this.#options.deadlineMs + waitMs;
    const leftMs = deadlineAtMs - performance.now();
    const once = holdsIssue(requests);
    const firstMs = once ? leftMs : (leftMs - waitMs) * FIRST_ATTEMPT_SHARE + waitMs;
    const first = await this.#attempt(batch, requests, firstMs, false);
    if (!isFailure(first)) return first;
    const secondMs = deadlineAtMs - performance.now();
    if (once || !first.worthRetrying || secondMs <= 0) return undefined;
    const second = await this.#attempt(batch, requests, secondMs, true);
    return isFailure(second) ? undefined : second;
  }

  async #attempt(
    batch: Batch,
    requests: Uint8Array,
    timeoutMs: number,
    isRepeat: boolean,
  ): Promise<readonly Uint8Array[] | EdgeFailure> {
    const { kept, metrics, failureLog } = this.#options;
    const writes = this.lane !== Lane.Read;
    if (writes) kept?.forgetWritten(requests);
    const lookup = kept?.begin();
    const startMs = performance.now();
    const result = await this.#edge.post(requests, Math.max(1, Math.floor(timeoutMs)), isRepeat);
    if (writes) kept?.forgetWritten(requests);
    const outcome = result.kind === "failed" ? result : this.#read(batch, requests, result.body, lookup);
    const durationMs = performance.now() - startMs;
    this.#coalescer.recordLatency(durationMs);
    const failure = isFailure(outcome) ? outcome : undefined;
    metrics.attemptDone(durationMs, failure?.code);
    if (failure !== undefined) failureLog.log(failure);
    return outcome;
  }

  /** The responses in a body to each segment; keeps the sessions that the keep block behind them allows to keep. */
  #read(
    batch: Batch,
    requests: Uint8Array,
    body: Uint8Array,
    lookup: Lookup | undefined,
  ): readonly Uint8Array[] | EdgeFailure {
    const { kept } = this.#options;
    const split = splitResponses(requests, batch.segments, body);
    if (typeof split === "string") return edgeFailure("edge_bad_response", split);
    const { parts, bytes } = split;
    // An edge that does not know the keep header sends no block.
    if (bytes === body.byteLength) return parts;
    try {
      if (kept === undefined) throw new ProtocolError("payload_too_long", "bytes after the last response");
      kept.keep(lookup, requests, body.subarray(0, bytes), body.subarray(bytes));
    } catch (error) {
      if (error instanceof ProtocolError) return edgeFailure("edge_bad_response", error.message);
      throw error;
    }
    return parts;
  }
}

function isFailure(outcome: readonly Uint8Array[] | EdgeFailure): outcome is EdgeFailure {
  return "kind" in outcome;
}

/**
 * This many packets are sent without waiting for more. A batch of 10 packets costs workerd and redis-rest about 0.6 ms of CPU, and
 * each further packet 1 us (docs/performance/optimisations.md), so in a larger batch the cost of the request itself is small.
 */
const ENOUGH_PACKETS = MAX_BATCH_REQUESTS / 2;

/** The longest time that packets wait for others, however slow the edge is. */
const MAX_WAIT_MS = 2;

/** The weight of the newest value in a moving mean. */
const NEWEST_WEIGHT = 1 / 8;

/**
 * Decides how long waiting packets wait for more, because a request to the edge costs far more than the packets in it. Few packets
 * wait while more are likely: a batch is in flight, or connections that just got their responses have not sent a new request, and
 * most connections do so at once. They wait at most for the mean latency of the edge, and at most {@link MAX_WAIT_MS}. Otherwise a
 * packet is sent at once.
 */
export class BatchCoalescer {
  /** The sources that just got their responses and are expected to send a new request. */
  readonly #expected = new Set<PacketSource>();
  #respondedMs = 0;
  /** The share of the expected sources that sent a new request in time, as a moving mean. */
  #requestingShare = 0;
  #meanLatencyMs = 0;
  #waitingSinceMs: number | undefined;

  /** An attempt to reach the edge took this long. */
  recordLatency(durationMs: number): void {
    this.#meanLatencyMs += (durationMs - this.#meanLatencyMs) * NEWEST_WEIGHT;
  }

  /** The source got its responses. */
  responded(source: PacketSource, nowMs: number): void {
    this.#respondedMs = nowMs;
    this.#expected.add(source);
  }

  /** The source has a new request. */
  requested(source: PacketSource, nowMs: number): void {
    this.#giveUpLate(nowMs);
    if (this.#expected.delete(source)) this.#requestingShare += (1 - this.#requestingShare) * NEWEST_WEIGHT;
  }

  /** The source's connection ended. */
  removed(source: PacketSource): void {
    this.#expected.delete(source);
  }

  /** All waiting packets were sent. */
  flushed(): void {
    this.#waitingSinceMs = undefined;
  }

  /** How long the packets of the `ready` sources must still wait for more; 0: send them now. */
  remainingWaitMs(ready: Iterable<PacketSource>, batchesInFlight: number, nowMs: number): number {
    this.#giveUpLate(nowMs);
    const moreAreLikely = batchesInFlight > 0 || (this.#expected.size > 0 && this.#requestingShare > 0.5);
    if (!moreAreLikely || areEnough(ready)) return 0;
    this.#waitingSinceMs ??= nowMs;
    return Math.max(0, this.#waitingSinceMs + this.#limitMs - nowMs);
  }

  get #limitMs(): number {
    return Math.min(this.#meanLatencyMs, MAX_WAIT_MS);
  }

  #giveUpLate(nowMs: number): void {
    if (nowMs - this.#respondedMs < this.#limitMs) return;
    this.#requestingShare *= (1 - NEWEST_WEIGHT) ** this.#expected.size;
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
