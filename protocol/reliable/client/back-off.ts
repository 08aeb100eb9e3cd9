/**
 * Full jitter: the n-th delay is random in 0..min(cap, base * 2^n), so that those whom one fault cut off do not come back
 * together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
export class BackOff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #failures = 0;

  /** `random` gives numbers in 0 <= x < 1. */
  constructor(baseMs: number, capMs: number, random: () => number) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
  }

  /** The ms to wait before the next dial. Each call is one more failure. */
  nextDelayMs(): number {
    const ceilingMs = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return this.#random() * ceilingMs;
  }

  /** The longest kind of delay, for who is told to come back later. */
  longDelayMs(): number {
    return this.#random() * this.#capMs;
  }

  /** A dial led to an established session. */
  reset(): void {
    this.#failures = 0;
  }
}
