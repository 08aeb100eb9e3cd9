const WINDOW_MS = 60_000;

/**
 * The failed Joins of each address in windows of one minute, which begin for all at once: so what is remembered is no
 * more than one minute's failures.
 */
export class FailedJoins {
  readonly #limit: number;
  readonly #byAddress = new Map<string, number>();
  #startMs = 0;

  /** `limit`: failures of one address a minute. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether this address has failed too often to try again now. */
  isExceeded(address: string, nowMs: number): boolean {
    this.#roll(nowMs);
    return (this.#byAddress.get(address) ?? 0) >= this.#limit;
  }

  count(address: string, nowMs: number): void {
    this.#roll(nowMs);
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1);
  }

  #roll(nowMs: number): void {
    if (nowMs - this.#startMs < WINDOW_MS) return;
    this.#startMs = nowMs;
    this.#byAddress.clear();
  }
}
