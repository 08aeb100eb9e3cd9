import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createConnection, createServer } from "node:net";
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
  /** Absent: where this program runs. */
  readonly cwd?: string;
  /** Where it will accept connections on loopback. */
  readonly port: number;
}

const START_LIMIT_MS = 60_000;
const POLL_MS = 10;
const STOP_GRACE_MS = 5_000;
const MAX_KEPT_OUTPUT = 4_000;

/** Starts a program and resolves when its port accepts connections. Throws with the end of its output if it ends first. */
export async function startProgram({ name, command, args, env, cwd, port }: ProgramOptions): Promise<Program> {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    cwd,
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
  const hasEnded = () => failure !== undefined || child.exitCode !== null;
  if (!(await untilAccepts(port, hasEnded))) {
    child.kill("SIGKILL");
    throw new Error(`${name} did not start: ${failure?.message ?? output}`);
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

/** Resolves with true when a port on loopback accepts connections; with false after a time, or when it never will. */
export async function untilAccepts(port: number, isHopeless = () => false): Promise<boolean> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (isHopeless() || performance.now() > deadline) return false;
    await wait(POLL_MS);
  }
  return true;
}

export interface NodeProgramOptions extends Omit<ProgramOptions, "command" | "args"> {
  readonly file: string;
  /** Of the program. */
  readonly args?: readonly string[];
  /** Options of Node's own. */
  readonly nodeOptions?: readonly string[];
}

/** Starts a Node program of this repository or of a peer. */
export function startNode({ file, args = [], nodeOptions = [], ...options }: NodeProgramOptions): Promise<Program> {
  return startProgram({ ...options, command: process.execPath, args: [...nodeOptions, file, ...args] });
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

/** A loopback port that is free at this moment, for programs that cannot report which one they were given. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const closed = once(server, "close");
  server.close();
  await closed;
  return port;
}

/** Linux: sysconf(_SC_CLK_TCK) is 100 on every architecture that Node supports. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, that a process has used so far (proc(5), /proc/pid/stat fields 14 and 15). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name may hold spaces; what follows its last parenthesis does not. Field 3 is the first of these.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Bytes of memory that a process has to itself (proc(5), /proc/pid/smaps_rollup): shared libraries are not its cost. */
export function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  let kibibytes = 0;
  for (const [, size] of rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)) kibibytes += Number(size);
  return kibibytes * 1024;
}
