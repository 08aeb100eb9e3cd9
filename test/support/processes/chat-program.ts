import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { join } from "node:path";
import { Program } from "./program.ts";

/** `artoria chat` in a process of its own, on pipes. */
export class ChatProgram extends Program {
  declare readonly child: ChildProcessWithoutNullStreams;

  /** `folder`: of an earlier release; absent: this one. */
  constructor(args: readonly string[], variables: Readonly<Record<string, string>> = {}, folder = "") {
    super(process.execPath, [join(folder, "client/command/main.ts"), "chat", ...args], variables, "pipe");
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

  /** `pattern` matches a whole line. */
  async shows(pattern: RegExp): Promise<void> {
    await this.findInOutput(pattern, () => this.lines.find((line) => pattern.test(line)));
  }
}
