/**
 * The delays between a client's dials, with full jitter: the n-th delay is random in 0..min(cap, base * 2^n), so that clients
 * that one fault disconnected do not reconnect at the same time
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
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

  /** The ms to wait before the next dial. Each call counts one more failure. */
  nextDelayMs(): number {
    const ceilingMs = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return this.#random() * ceilingMs;
  }

  /** A delay up to the cap, for a client that was told to return later. */
  longDelayMs(): number {
    return this.#random() * this.#capMs;
  }

  /** The session is established: the next failure is the first. */
  reset(): void {
    this.#failures = 0;
  }
}
