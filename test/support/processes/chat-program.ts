import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { until } from "../until.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** `artoria chat` in a process of its own, on pipes. */
export class ChatProgram {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<unknown>;
  stdout = "";
  stderr = "";

  constructor(args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, ["client/artoria.ts", "chat", ...args], {
      cwd: ROOT,
      env: { PATH: process.env["PATH"], ...variables },
    });
    this.#ended = once(this.child, "close");
    this.child.stdout.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.child.stdin.on("error", () => undefined);
  }

  get lines(): string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  /** What was said: the lines that are neither status nor presence. */
  get messages(): string[] {
    return this.lines.filter((line) => !/^(--|\*) /.test(line));
  }

  write(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  async shows(pattern: RegExp): Promise<void> {
    await until(() => this.lines.some((line) => pattern.test(line)) || this.child.exitCode !== null);
    if (!this.lines.some((line) => pattern.test(line))) {
      throw new Error(`${pattern} was not shown:\n${this.stdout}${this.stderr}`);
    }
  }

  /** Its exit code. */
  async ends(): Promise<number | null> {
    await this.#ended;
    return this.child.exitCode;
  }
}
