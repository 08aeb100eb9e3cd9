import { fork } from "node:child_process";
import { once } from "node:events";
import type { Program } from "../harness/processes.ts";

/** A program that listens on several ports of its own choice. */
export interface WorldProgram {
  readonly ports: readonly number[];
  readonly program: Program;
}

/** Starts a program of this folder with its job, and resolves when it has reported its ports. */
export async function startWorldProgram(
  name: string,
  file: string,
  job: object,
  nodeOptions: readonly string[] = [],
): Promise<WorldProgram> {
  const child = fork(file, [JSON.stringify(job)], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    execArgv: [...nodeOptions],
  });
  const gone = once(child, "exit");
  const first = await Promise.race([once(child, "message"), gone.then(() => undefined)]);
  if (first === undefined) throw new Error(`${name} ended`);
  const stop = async () => {
    child.kill();
    await gone;
  };
  return { ports: first[0] as readonly number[], program: { name, pid: child.pid ?? 0, stop } };
}
