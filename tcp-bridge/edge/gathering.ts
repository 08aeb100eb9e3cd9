import { MAX_BATCH_PACKETS } from "./batch.ts";
import type { PacketSource } from "./packet-source.ts";

/**
 * So many packets are worth a request of their own: on its whole way a request costs about 1.5 ms of CPU, each packet in it
 * 3 us (docs/performance.md).
 */
const ENOUGH_PACKETS = MAX_BATCH_PACKETS / 2;

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
export class Gathering {
  /** Who was answered and may ask again in a moment. */
  readonly #expected = new Set<PacketSource>();
  #answeredMs = 0;
  /** The share of those expected who did ask again in time. */
  #returningShare = 0;
  #meanAnswerMs = 0;
  #sinceMs: number | undefined;

  /** The edge answered a batch, after so long. */
  took(durationMs: number): void {
    this.#meanAnswerMs += (durationMs - this.#meanAnswerMs) * NEWEST_WEIGHT;
  }

  answered(source: PacketSource, nowMs: number): void {
    this.#answeredMs = nowMs;
    this.#expected.add(source);
  }

  /** The source has asked again. */
  returned(source: PacketSource, nowMs: number): void {
    this.#giveUpLate(nowMs);
    if (this.#expected.delete(source)) this.#returningShare += (1 - this.#returningShare) * NEWEST_WEIGHT;
  }

  /** The source is gone. */
  gone(source: PacketSource): void {
    this.#expected.delete(source);
  }

  /** What waited has left. */
  left(): void {
    this.#sinceMs = undefined;
  }

  /** For how long what waits in `ready` is to gather from now on; 0: it leaves. */
  remainingMs(ready: Iterable<PacketSource>, batchesInFlight: number, nowMs: number): number {
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
