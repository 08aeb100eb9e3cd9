/** What was started and must be ended, the last one first. */
export class Cleanup {
  readonly #ends: (() => Promise<void>)[] = [];

  /** Remembers how to end something, and gives it back. */
  add<T extends { stop(): Promise<void> }>(started: T): T {
    this.#ends.push(() => started.stop());
    return started;
  }

  addRemoval<T extends { remove(): Promise<void> }>(made: T): T {
    this.#ends.push(() => made.remove());
    return made;
  }

  async run(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }

  /** Runs `work` and ends everything after it, whatever comes of it. */
  static async around<T>(work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
    const cleanup = new Cleanup();
    try {
      return await work(cleanup);
    } finally {
      await cleanup.run();
    }
  }
}
