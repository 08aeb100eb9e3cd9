import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

/** A program of one side of a measurement, in a process of its own. */
export interface Program {
  readonly name: string;
  readonly pid: number;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where it will accept connections on loopback. */
  readonly port: number;
}

const START_LIMIT_MS = 20_000;
const POLL_MS = 10;
const STOP_GRACE_MS = 5_000;
const MAX_KEPT_OUTPUT = 4_000;

/** Starts a program and resolves when its port accepts connections. Throws with the end of its output if it ends first. */
export async function startProgram({ name, command, args, env, port }: ProgramOptions): Promise<Program> {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NODE_ENV: "production", ...env },
  });
  let output = "";
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-MAX_KEPT_OUTPUT);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  let failure: Error | undefined;
  child.once("error", (error) => {
    failure = error;
  });
  const killWithBench = () => void child.kill("SIGKILL");
  process.once("exit", killWithBench);
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (failure !== undefined || child.exitCode !== null || performance.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${name} did not start: ${failure?.message ?? output}`);
    }
    await wait(POLL_MS);
  }
  return {
    name,
    pid: child.pid ?? 0,
    async stop() {
      process.off("exit", killWithBench);
      await end(child);
    },
  };
}

export interface NodeProgramOptions extends Omit<ProgramOptions, "command" | "args"> {
  readonly file: string;
  /** Options of Node's own. */
  readonly nodeOptions?: readonly string[];
}

/** Starts a Node program of this repository or of a peer. */
export function startNode({ file, nodeOptions = [], ...options }: NodeProgramOptions): Promise<Program> {
  return startProgram({ ...options, command: process.execPath, args: [...nodeOptions, file] });
}

async function accepts(port: number): Promise<boolean> {
  const socket = createConnection({ host: "127.0.0.1", port });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_GRACE_MS);
  await gone;
  clearTimeout(timer);
}
