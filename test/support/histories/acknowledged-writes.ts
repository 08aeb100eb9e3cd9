import { setTimeout as pause } from "node:timers/promises";

/** What is written to. A call that returns was acknowledged; a call that throws may or may not have happened. */
export interface WriteTarget {
  register(key: string): Promise<void>;
  remove(key: string): Promise<void>;
}

/** What a caller may rely on after the load: the last acknowledged word about each key that has one. */
export interface WriteLedger {
  readonly present: ReadonlySet<string>;
  readonly absent: ReadonlySet<string>;
  /** Calls that were acknowledged and that threw, so far. */
  readonly acknowledged: number;
  readonly failed: number;
  readonly slowestMs: number;
}

/** How long a caller waits after an error, as any caller should. */
const BACK_OFF_MS = 20;

/**
 * Callers that register keys and remove every second one again, each waiting for one response before the next call, and
 * keep account of what was acknowledged. Runs until it is stopped.
 */
export class AcknowledgedWrites implements WriteLedger {
  readonly present = new Set<string>();
  readonly absent = new Set<string>();
  acknowledged = 0;
  failed = 0;
  slowestMs = 0;
  readonly #target: WriteTarget;
  readonly #callers: readonly Promise<void>[];
  #isStopping = false;

  constructor(target: WriteTarget, callers: number) {
    this.#target = target;
    this.#callers = Array.from({ length: callers }, (_, caller) => this.#call(caller));
  }

  /** Ends the load and waits for the calls that are under way. */
  async stop(): Promise<WriteLedger> {
    this.#isStopping = true;
    await Promise.all(this.#callers);
    return this;
  }

  async #call(caller: number): Promise<void> {
    for (let turn = 0; !this.#isStopping; turn++) {
      const key = `${caller}:${turn}`;
      if (await this.#attempt(() => this.#target.register(key))) this.present.add(key);
      if (turn % 2 === 0 || !this.present.delete(key)) continue;
      if (await this.#attempt(() => this.#target.remove(key))) this.absent.add(key);
    }
  }

  async #attempt(write: () => Promise<void>): Promise<boolean> {
    const startMs = performance.now();
    try {
      await write();
      this.acknowledged++;
      return true;
    } catch {
      this.failed++;
      await pause(BACK_OFF_MS);
      return false;
    } finally {
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs);
    }
  }
}
