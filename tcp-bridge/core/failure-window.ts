const WINDOW_MS = 60_000;

/** Counts failures in windows of one minute, each from its first failure on. */
export class FailureWindow {
  readonly #limit: number;
  #startMs = 0;
  #failures = 0;

  /** `limit`: failures a minute. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many more may fail now. */
  allowance(nowMs: number): number {
    return this.#limit - this.failures(nowMs);
  }

  /** How many have failed in the window. */
  failures(nowMs: number): number {
    if (nowMs - this.#startMs >= WINDOW_MS) this.#failures = 0;
    return this.#failures;
  }

  count(failures: number, nowMs: number): void {
    if (this.failures(nowMs) === 0) this.#startMs = nowMs;
    this.#failures += failures;
  }
}
