/** How much a hasher takes on. */
export interface HashQueueLimits {
  /** Hashes at the same time; each takes a processor and 16 MiB. */
  readonly atOnce: number;
  /** Those that wait their turn; what comes beyond them is refused. */
  readonly maxWaiting: number;
}

/** Runs the hashes in the order in which they came, few at a time. */
export class HashQueue {
  readonly #limits: HashQueueLimits;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limits: HashQueueLimits) {
    this.#limits = limits;
  }

  /** The job's result, or "busy" if too many wait already; then it was not begun. */
  async run<T>(job: () => Promise<T>): Promise<T | "busy"> {
    if (this.#running >= this.#limits.atOnce) {
      if (this.#waiting.length >= this.#limits.maxWaiting) return "busy";
      // Who ends hands the turn on, so that nobody who comes in this moment takes it.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await job();
    } finally {
      // In a Worker a hash stops everything: who came meanwhile is counted, and refused, before the next one.
      setTimeout(() => this.#handOn(), 0);
    }
  }

  #handOn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}
