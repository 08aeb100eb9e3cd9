/** No message waits longer than this for others to come: 20 ms is below what a player notices. */
const MAX_GATHER_MS = 20;

/**
 * A send to a socket costs about 40 us, whatever its size, and sends are all that gathering saves. So long for each, a
 * room spends at most a sixth of its time on them; a room of two hardly waits.
 */
const GATHER_MS_PER_SEND = 0.2;

export interface GatherWindowOptions {
  /** Processes everything that has come, and returns to how many sockets it has sent. */
  readonly run: () => number;
  /** Resolves when the storage has confirmed what was written: until then nothing that was sent leaves. */
  readonly confirmed: () => Promise<void>;
  /** Keeps a promise running. */
  readonly background: (work: Promise<void>) => void;
}

/**
 * Decides when a room processes what has come. A quiet room does it at once; a busy one gathers for about as long as its
 * last run took, at most 20 ms and at most in proportion to its sends, so that one write to the storage and one to each
 * socket carry more. It adjusts itself: the more a run costs, the fewer there are.
 */
export class GatherWindow {
  readonly #run: () => number;
  readonly #confirmed: () => Promise<void>;
  readonly #background: (work: Promise<void>) => void;
  #isOpen = false;
  #next: PromiseWithResolvers<void> | undefined;

  constructor({ run, confirmed, background }: GatherWindowOptions) {
    this.#run = run;
    this.#confirmed = confirmed;
    this.#background = background;
  }

  /** Something has come. Resolves when it was processed; undefined if it is already. */
  request(): Promise<void> | undefined {
    if (this.#isOpen) {
      this.#next ??= Promise.withResolvers();
      return this.#next.promise;
    }
    this.#runNow();
    return undefined;
  }

  #runNow(): void {
    const startMs = Date.now();
    this.#isOpen = true;
    let sends = 0;
    try {
      sends = this.#run();
    } finally {
      this.#background(this.#gather(startMs, sends));
    }
  }

  async #gather(startMs: number, sends: number): Promise<void> {
    const ranMs = Date.now();
    // A Worker's clock may stand still while its code runs: only after this does it show what the run took.
    await Promise.race([this.#confirmed(), scheduler.wait(MAX_GATHER_MS)]);
    const nowMs = Date.now();
    const leftMs = Math.min(nowMs - startMs, ranMs + MAX_GATHER_MS - nowMs, sends * GATHER_MS_PER_SEND);
    if (leftMs > 0) await scheduler.wait(leftMs);
    this.#isOpen = false;
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    this.#runNow();
    next.resolve();
  }
}
