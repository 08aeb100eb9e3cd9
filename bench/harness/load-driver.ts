import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { cpuSeconds, type Program } from "./processes.ts";

/** What a load generator reports of one leg. */
export interface LoadReport {
  /** How much was done, in the unit of the case. */
  readonly done: number;
  readonly seconds: number;
  /** The generator's own share of one CPU. */
  readonly cpuShare: number;
  /** Of each response, where the load measures it. */
  readonly latencyMs?: { readonly p50: number; readonly p99: number };
  /** The 1st to the 99th percentile of the latency, where the load gives them all. */
  readonly percentilesMs?: readonly number[];
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

  /** Starts `bench/load/<program>` with its job, and resolves when the program reports that it is connected. */
  static async start(program: string, job: object, programs: readonly Program[]): Promise<LoadDriver> {
    const file = fileURLToPath(new URL(`../load/${program}`, import.meta.url));
    const child = fork(file, [JSON.stringify(job)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await messageOf(child, program);
    return new LoadDriver(child, programs);
  }

  /** Runs one leg. Throws if the load received a wrong response. */
  run(seconds: number): Promise<Leg> {
    return this.#order({ seconds });
  }

  /** Sends every prepared request once. */
  runOnce(): Promise<Leg> {
    return this.#order({ rounds: 1 });
  }

  async #order(order: LoadOrder): Promise<Leg> {
    const before = this.#programs.map(({ pid }) => cpuSeconds(pid));
    this.#child.send(order);
    const report = (await messageOf(this.#child, "the load generator")) as LoadReport;
    const shares = this.#programs.map(
      ({ name, pid }, index) => [name, (cpuSeconds(pid) - (before[index] ?? 0)) / report.seconds] as const,
    );
    return { ...report, cpuShares: Object.fromEntries(shares) };
  }

  async stop(): Promise<void> {
    // It ends by itself when it received a wrong response.
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill();
    await gone;
  }
}

async function messageOf(child: ChildProcess, name: string): Promise<unknown> {
  const stopWaiting = new AbortController();
  const { signal } = stopWaiting;
  try {
    const [message] = await Promise.race([
      once(child, "message", { signal }),
      once(child, "exit", { signal }).then(() => {
        throw new Error(`${name} ended`);
      }),
    ]);
    return message;
  } finally {
    stopWaiting.abort();
  }
}
