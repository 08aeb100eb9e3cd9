import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Changes } from "../changes.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** All that a program has of the tests' environment. */
function inherited(): Record<string, string> {
  const { PATH = "", NODE_COMPILE_CACHE } = process.env;
  return {
    // Debian keeps daemons where a user's PATH does not look.
    PATH: `${PATH}:/usr/sbin:/sbin`,
    // Halves what the start of a Node program costs (vitest.config.ts).
    ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
  };
}

/** A program that runs beside a test, in the project's folder, and does not outlive it. */
export class Program {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  stdout = "";
  stderr = "";
  /** Both, in the order in which they came. */
  output = "";
  readonly #command: string;
  readonly #changes = new Changes();
  readonly #killWithParent = (): void => this.signal("SIGKILL");
  #failure: Error | undefined;
  #isClosed = false;

  /** `variables` are all that it has of its environment besides PATH. Its standard input is empty unless it is a "pipe". */
  constructor(
    command: string,
    args: readonly string[],
    variables: Readonly<Record<string, string>> = {},
    stdin: "ignore" | "pipe" = "ignore",
  ) {
    this.#command = command;
    const env = { ...inherited(), ...variables };
    this.child = spawn(command, args, { cwd: ROOT, env, stdio: [stdin, "pipe", "pipe"] });
    for (const stream of ["stdout", "stderr"] as const) {
      this.child[stream]?.setEncoding("utf8").on("data", (chunk: string) => {
        this[stream] += chunk;
        this.output += chunk;
        this.#changes.notify();
      });
    }
    // It may end before it has read everything.
    this.child.stdin?.on("error", () => undefined);
    process.once("exit", this.#killWithParent);
    const closed = (failure?: Error): void => {
      process.off("exit", this.#killWithParent);
      this.#failure ??= failure;
      this.#isClosed = true;
      this.#changes.notify();
    };
    this.child.once("error", closed).once("close", () => closed());
  }

  /** Runs one of the project's programs by Node, as its npm script does. */
  static node(
    file: string,
    args: readonly string[] = [],
    variables: Readonly<Record<string, string>> = {},
    stdin: "ignore" | "pipe" = "ignore",
  ): Program {
    return new Program(process.execPath, [file, ...args], variables, stdin);
  }

  get isRunning(): boolean {
    return !this.#isClosed;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /**
   * Resolves once its output matches.
   *
   * @throws Error it has ended without, or could not be started; with what it has printed
   */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    return this.findInOutput(pattern, () => pattern.exec(this.output));
  }

  /** {@link prints}, for a subclass that looks at a part of the output. */
  protected async findInOutput<T>(pattern: RegExp, find: () => T | null | undefined): Promise<T> {
    await this.#changes.until(() => (find() ?? null) !== null || this.#isClosed);
    const found = find() ?? null;
    if (found !== null) return found;
    if ((this.#failure as NodeJS.ErrnoException | undefined)?.code === "ENOENT") {
      throw new Error(`${this.#command} is not installed: apt-get install -y ${this.#command}`);
    }
    throw new Error(`${this.#command} ended without ${pattern}:\n${this.output}`, { cause: this.#failure });
  }

  /** Resolves with its exit code when it has ended; null if a signal ended it. */
  async ended(): Promise<number | null> {
    await this.#changes.until(() => this.#isClosed);
    return this.child.exitCode;
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended();
  }
}

/** How a program ended and what it printed. */
export interface ProgramResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of the project's programs to its end. */
export async function runProgram(
  file: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<ProgramResult> {
  const program = Program.node(file, args, variables);
  const exitCode = await program.ended();
  return { exitCode, stdout: program.stdout, stderr: program.stderr };
}
