/**
 * The hub's clock, ms. It is the wall clock, except that no lease that it was told of ends before its timer does, nor much later:
 * of the clocks of workerd (Date.now, performance.now) none is monotonic, but its timers are. So a wall clock that is set does not
 * end a lease that still runs, and does not prolong one.
 */
export class LeaseClock {
  readonly #leaseMs: number;
  readonly #onEnd: () => void;
  /** When the leases end that were told and whose timers run, in the order of their timers. */
  readonly #ends: number[] = [];
  #offsetMs = 0;

  /**
   * @param leaseMs how long a lease runs
   * @param onEnd called when a lease has ended
   */
  constructor(leaseMs: number, onEnd: () => void) {
    this.#leaseMs = leaseMs;
    this.#onEnd = onEnd;
  }

  get nowMs(): number {
    const [end] = this.#ends;
    const nowMs = Date.now() + this.#offsetMs;
    return end === undefined ? nowMs : Math.min(nowMs, end - 1);
  }

  /** A lease has begun at `beganMs`, a time that this clock has just told. */
  begin(beganMs: number): void {
    const end = beganMs + this.#leaseMs;
    this.#ends.push(end);
    setTimeout(() => {
      this.#ends.shift();
      // If the wall clock was set back, the time goes on from here.
      this.#offsetMs = Math.max(this.#offsetMs, end - Date.now());
      this.#onEnd();
    }, this.#leaseMs);
  }
}
