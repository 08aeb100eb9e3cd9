const GENEROUS_MS = 30_000;

/** The changes of a peer's state, and who waits for one: nothing is polled. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  /** Called at each change: resolves what waited for it. */
  notify(): void {
    for (const check of this.#waiting) check();
  }

  /** Resolves once the state is `reached`; the deadline only bounds a failure. */
  until(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (reached()) end(resolve);
      };
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        settle();
      };
      const timer = setTimeout(
        () => end(() => reject(new Error(`not within ${GENEROUS_MS} ms: ${reached}`))),
        GENEROUS_MS,
      );
      this.#waiting.add(check);
    });
  }
}
