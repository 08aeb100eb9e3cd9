import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { cpuSeconds } from "./process-usage.ts";
import type { Program } from "./program.ts";

/** What a load generator reports of one leg. */
export interface LoadReport {
  /** What was answered, in the unit of the case. */
  readonly done: number;
  readonly seconds: number;
  /** The generator's own share of one CPU. */
  readonly cpuShare: number;
  /** Each answer's time, where the load measures it. */
  readonly latencyMs?: { readonly p50: number; readonly p99: number };
}

/** A leg's report, with the CPU share of each process of the side that was measured. */
export interface Leg extends LoadReport {
  readonly cpuShares: Readonly<Record<string, number>>;
}

/** What a load generator is told to do next. */
export type LoadOrder = { readonly seconds: number } | { readonly rounds: 1 };

/** A load generator in a process of its own, connected to one side. It is idle between its legs. */
export class LoadDriver {
  readonly #child: ChildProcess;
  readonly #programs: readonly Program[];

  private constructor(child: ChildProcess, programs: readonly Program[]) {
    this.#child = child;
    this.#programs = programs;
  }

  /** Starts `bench/load/<program>`, which says `ready` when it is connected. `job` is what it is to do all the time. */
  static async start(program: string, job: object, programs: readonly Program[]): Promise<LoadDriver> {
    const file = fileURLToPath(new URL(`../load/${program}`, import.meta.url));
    const child = fork(file, [JSON.stringify(job)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await answerOf(child, program);
    return new LoadDriver(child, programs);
  }

  /** One leg. Throws if the load got a wrong answer: what is wrong is not fast. */
  run(seconds: number): Promise<Leg> {
    return this.#order({ seconds });
  }

  /** Everything that the load has to ask, once. */
  runOnce(): Promise<Leg> {
    return this.#order({ rounds: 1 });
  }

  async #order(order: LoadOrder): Promise<Leg> {
    const before = this.#programs.map(({ pid }) => cpuSeconds(pid));
    this.#child.send(order);
    const report = (await answerOf(this.#child, "the load generator")) as LoadReport;
    const shares = this.#programs.map(
      ({ name, pid }, index) => [name, (cpuSeconds(pid) - (before[index] ?? 0)) / report.seconds] as const,
    );
    return { ...report, cpuShares: Object.fromEntries(shares) };
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, "exit");
    this.#child.kill();
    await gone;
  }
}

async function answerOf(child: ChildProcess, name: string): Promise<unknown> {
  const stopWaiting = new AbortController();
  const { signal } = stopWaiting;
  try {
    const [answer] = await Promise.race([
      once(child, "message", { signal }),
      once(child, "exit", { signal }).then(() => {
        throw new Error(`${name} ended`);
      }),
    ]);
    return answer;
  } finally {
    stopWaiting.abort();
  }
}
