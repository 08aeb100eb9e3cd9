import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** A program that a test runs beside itself, and that does not outlive it. */
export class ChildProgram {
  readonly #child: ChildProcess;
  readonly #killWithParent = (): void => this.signal("SIGKILL");
  #output = "";

  /** `variables` are all that it has of its environment besides PATH. */
  constructor(program: string, args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    // Debian keeps daemons where a user's PATH does not look.
    const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
    this.#child = spawn(program, args, { env: { PATH, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        // What it said last is what explains an end.
        this.#output = (this.#output + chunk.toString()).slice(-10_000);
      });
    }
    process.once("exit", this.#killWithParent);
    this.#child.once("close", () => process.off("exit", this.#killWithParent));
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The end of what it has printed. */
  get output(): string {
    return this.#output;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves with its exit code when it has ended; null if a signal ended it. */
  async ended(): Promise<number | null> {
    if (this.isRunning) await once(this.#child, "close");
    return this.#child.exitCode;
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended();
  }
}

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** How a program ended and what it printed. */
export interface ProgramResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs one of the project's programs to its end as its npm script does; `variables` are all that it has of its
 * environment besides PATH.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<ProgramResult> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, [exitCode]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { exitCode, stdout, stderr };
}
