import type { Random } from "../random.ts";
import type { VirtualClock } from "../simulator/virtual-clock.ts";
import type { SimulatedHub } from "./simulated-hub.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { Change, SimulatedStore, Write, Written } from "./simulated-store.ts";

export interface WriterSetup {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly store: SimulatedStore;
  /** A hub that a call reaches now. */
  readonly findHub: () => SimulatedHub | undefined;
}

/** A write that was answered; times are real. */
export interface AnsweredWrite {
  readonly beganMs: number;
  readonly takenMs: number;
  readonly answeredMs: number;
}

/** The worker: it writes, and answers once no bridge answers by the old state. */
export class SimulatedWriter {
  readonly answered: AnsweredWrite[] = [];
  readonly #setup: WriterSetup;
  readonly #process: SimulatedProcess;

  constructor(setup: WriterSetup) {
    this.#setup = setup;
    this.#process = new SimulatedProcess(setup.clock, setup.random);
  }

  /** `done` is called when the write is answered: with false if it is Unavailable. */
  write(write: Write, done: (isAnswered: boolean) => void): void {
    const { clock } = this.#setup;
    const beganMs = clock.nowMs;
    const changes: Change[] = [];
    this.#attempt(write, changes, (first, takenMs) => {
      if (first !== undefined) this.#answer({ write, first, changes, beganMs, takenMs, isRepeated: false }, done);
      else
        this.#attempt(write, changes, (second, secondMs) => {
          if (second === undefined) done(false);
          else this.#answer({ write, first: second, changes, beganMs, takenMs: secondMs, isRepeated: true }, done);
        });
    });
  }

  /** Calls `done` when each of these leases has run out, or the own hub says that its bridges have acked. */
  protected wait(leases: ReadonlyMap<string, number>, done: () => void): void {
    let left = leases.size;
    const end = () => {
      left -= 1;
      if (left === 0) done();
    };
    const waits = new Map([...leases].map(([hub, ms]) => [hub, this.#wait(ms, end)]));
    this.reachHub()?.acknowledged((token) => {
      if (token !== undefined) waits.get(token)?.();
    });
  }

  protected reachHub(): SimulatedHub | undefined {
    return this.#setup.findHub();
  }

  #answer(result: Result, done: (isAnswered: boolean) => void): void {
    const { clock } = this.#setup;
    const { write, first, changes, beganMs, takenMs, isRepeated } = result;
    const answer = () => {
      for (const change of changes) change.answeredMs = Math.min(change.answeredMs, clock.nowMs);
      if (first.registered !== undefined)
        first.registered.answeredMs = Math.min(first.registered.answeredMs, clock.nowMs);
      this.answered.push({ beganMs, takenMs, answeredMs: clock.nowMs });
      done(true);
    };
    const waits = write.kind !== "register" || changes.length > 0 || isRepeated;
    if (!waits || first.leases.size === 0) answer();
    else this.wait(first.leases, answer);
  }

  #attempt(write: Write, changes: Change[], done: (written: Written | undefined, takenMs: number) => void): void {
    const { clock, store } = this.#setup;
    let takenMs = clock.nowMs;
    store.request(
      this.#process,
      () => {
        const written = store.write(write);
        takenMs = clock.nowMs;
        for (const change of written.changes) changes.push(change);
        return written;
      },
      (written) => done(written, takenMs),
    );
  }

  /** Calls `end` once: after `ms` of the worker's clock, or when the returned function is called. */
  #wait(ms: number, end: () => void): () => void {
    let isOver = false;
    const once = () => {
      if (isOver) return;
      isOver = true;
      end();
    };
    this.#process.in(ms, once);
    return once;
  }
}

interface Result {
  readonly write: Write;
  readonly first: Written;
  readonly changes: readonly Change[];
  readonly beganMs: number;
  readonly takenMs: number;
  readonly isRepeated: boolean;
}
