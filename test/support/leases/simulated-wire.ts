import type { Random } from "../random.ts";
import type { VirtualClock } from "../simulator/virtual-clock.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

/** One end of a connection between a bridge and a hub. */
export interface WireEnd {
  readonly process: SimulatedProcess;
  received(frame: Uint8Array): void;
  /** The end learns that the connection is over, perhaps long after it broke. */
  ended(): void;
}

/** A connection: frames arrive late, in order, or not at all. */
export class SimulatedWire {
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #latencyMs: number;
  readonly #ends: readonly [WireEnd, WireEnd];
  readonly #arrivalMs = [0, 0];
  readonly #hasEnded = [false, false];
  #isStalled = false;
  #slowMs = 0;
  #isBroken = false;
  #waiting: (() => void)[] = [];

  constructor(clock: VirtualClock, random: Random, latencyMs: number, ends: readonly [WireEnd, WireEnd]) {
    this.#clock = clock;
    this.#random = random;
    this.#latencyMs = latencyMs;
    this.#ends = ends;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Sends a frame to the end 0 or 1. */
  send(to: 0 | 1, frame: Uint8Array): void {
    const copy = Uint8Array.from(frame);
    this.#later(to, () => {
      if (!this.#hasEnded[to]) this.#ends[to].received(copy);
    });
  }

  /** An end closes the connection: the other learns it after all that was sent, the end itself at once. */
  close(from: 0 | 1): void {
    this.#hasEnded[from] = true;
    const to = from === 0 ? 1 : 0;
    this.#later(to, () => this.#end(to));
  }

  /** From now on everything takes so much longer. */
  slowDown(byMs: number): void {
    this.#slowMs = Math.max(this.#slowMs, byMs);
  }

  /** Nothing arrives until {@link resume}. */
  stall(): void {
    this.#isStalled = true;
  }

  /** Ends a stall, and a slow-down. */
  resume(): void {
    this.#slowMs = 0;
    this.#isStalled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const arrival of waiting) arrival();
  }

  /** Nothing arrives any more. Each end notices it by itself, after at most `noticeMs`. */
  cut(noticeMs: number): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#waiting = [];
    for (const end of [0, 1] as const) {
      this.#clock.in(this.#random.integer(0, noticeMs), () => this.#ends[end].process.run(() => this.#end(end)));
    }
  }

  #later(to: 0 | 1, action: () => void): void {
    const jitterMs = this.#random.next() * this.#latencyMs;
    const atMs = Math.max(this.#arrivalMs[to] ?? 0, this.#clock.nowMs + this.#latencyMs + this.#slowMs + jitterMs);
    this.#arrivalMs[to] = atMs;
    this.#clock.at(atMs, () => this.#pass(to, action));
  }

  #pass(to: 0 | 1, action: () => void): void {
    if (this.#isBroken) return;
    if (this.#isStalled) this.#waiting.push(() => this.#pass(to, action));
    else this.#ends[to].process.run(action);
  }

  #end(end: 0 | 1): void {
    if (this.#hasEnded[end]) return;
    this.#hasEnded[end] = true;
    this.#ends[end].ended();
  }
}
