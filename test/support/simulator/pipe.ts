import type { Random } from "../random.ts";
import type { VirtualClock } from "./virtual-clock.ts";

export interface PipeEnd {
  bytes(chunk: Uint8Array): void;
  /** The other end closed, after everything that it wrote. */
  ended(): void;
}

/** One direction of a connection: bytes arrive in order, late, in other pieces, or not at all. */
export class Pipe {
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #end: PipeEnd;
  readonly #latencyMs: number;
  #arrivalMs = 0;
  #stalled = false;
  #waiting: (() => void)[] = [];
  #dead = false;
  /** Bytes of the chunk in flight that still arrive after a cut. */
  #lastBytes: number | undefined;

  constructor(clock: VirtualClock, random: Random, latencyMs: number, end: PipeEnd) {
    this.#clock = clock;
    this.#random = random;
    this.#latencyMs = latencyMs;
    this.#end = end;
  }

  write(chunk: Uint8Array): void {
    if (chunk.byteLength > 1 && this.#random.chance(0.2)) {
      const at = this.#random.integer(1, chunk.byteLength - 1);
      this.#send(() => this.#arrive(chunk.subarray(0, at)));
      this.#send(() => this.#arrive(chunk.subarray(at)));
    } else this.#send(() => this.#arrive(chunk));
  }

  /** A text message, which keeps its place among the bytes. */
  signal(arrival: () => void): void {
    this.#send(() => this.#lastBytes === undefined && arrival());
  }

  close(): void {
    this.#send(() => this.#end.ended());
  }

  /** Nothing arrives until {@link resume}, without an error at either end. */
  stall(): void {
    this.#stalled = true;
  }

  resume(): void {
    this.#stalled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const arrival of waiting) this.#pass(arrival);
  }

  /** The connection breaks at any byte in flight. */
  cut(): void {
    this.#lastBytes ??= this.#random.chance(0.5) ? this.#random.integer(0, 60) : 0;
  }

  #send(arrival: () => void): void {
    const jitterMs = this.#random.integer(0, this.#latencyMs);
    this.#arrivalMs = Math.max(this.#arrivalMs, this.#clock.nowMs + this.#latencyMs + jitterMs);
    this.#clock.at(this.#arrivalMs, () => this.#pass(arrival));
  }

  #pass(arrival: () => void): void {
    if (this.#stalled) this.#waiting.push(arrival);
    else if (!this.#dead) arrival();
  }

  #arrive(chunk: Uint8Array): void {
    if (this.#lastBytes === undefined) {
      this.#end.bytes(chunk);
      return;
    }
    const left = chunk.subarray(0, this.#lastBytes);
    this.#lastBytes -= left.byteLength;
    if (left.byteLength > 0) this.#end.bytes(left);
    if (this.#lastBytes <= 0) this.#dead = true;
  }
}
