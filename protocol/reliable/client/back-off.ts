/** The bounds of the delays, in ms. */
export interface BackOffLimits {
  /** The longest delay of {@link BackOff.redialDelayMs}. */
  readonly redialMs: number;
  /** The longest delay after the first failure; it doubles with each further one, up to the cap. */
  readonly backOffBaseMs: number;
  readonly backOffCapMs: number;
}

/**
 * The delays between a client's dials, with full jitter: the n-th delay is random in 0..min(cap, base * 2^n), so that clients
 * that one fault disconnected do not reconnect at the same time
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A connection that broke alone is dialed again
 * nearly at once.
 */
export class BackOff {
  readonly #redialMs: number;
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #failures = 0;

  /** `random` gives numbers in 0 <= x < 1. */
  constructor({ redialMs, backOffBaseMs, backOffCapMs }: BackOffLimits, random: () => number) {
    this.#redialMs = redialMs;
    this.#baseMs = backOffBaseMs;
    this.#capMs = backOffCapMs;
    this.#random = random;
  }

  /** The ms to wait before the next dial. Each call counts one more failure. */
  nextDelayMs(): number {
    const ceilingMs = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return this.#random() * ceilingMs;
  }

  /** The ms to wait before the first dial after a connection broke that was in use. It counts no failure. */
  redialDelayMs(): number {
    return this.#random() * this.#redialMs;
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
