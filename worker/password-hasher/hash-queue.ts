/** How much a hasher takes on. */
export interface HashQueueLimits {
  /** Hashes at the same time; each takes a processor and 16 MiB. */
  readonly atOnce: number;
  /** Those that wait their turn, of the urgent and of the others each; what comes beyond them is refused. */
  readonly maxWaiting: number;
}

/** Runs the hashes few at a time: the urgent before the others, otherwise in the order in which they came. */
export class HashQueue {
  readonly #limits: HashQueueLimits;
  readonly #urgent: (() => void)[] = [];
  readonly #others: (() => void)[] = [];
  #running = 0;

  constructor(limits: HashQueueLimits) {
    this.#limits = limits;
  }

  /** The job's result, or "busy" if too many wait already; then it was not begun. */
  async run<T>(job: () => Promise<T>, urgent = false): Promise<T | "busy"> {
    if (this.#running >= this.#limits.atOnce) {
      const waiting = urgent ? this.#urgent : this.#others;
      if (waiting.length >= this.#limits.maxWaiting) return "busy";
      // Who ends hands the turn on, so that nobody who comes in this moment takes it.
      await new Promise<void>((resolve) => waiting.push(resolve));
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
    const next = this.#urgent.shift() ?? this.#others.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}
