import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { platform } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** The program of this platform. The package is CommonJS without types. */
export const { default: WORKERD } = createRequire(import.meta.url)("workerd") as { readonly default: string };

/** How to run workerd. */
export interface WorkerdOptions {
  /** The file with its configuration. */
  readonly configFile: string;
  /** Removed with workerd if this process ends without doing so. */
  readonly folder: string;
  /** All of its environment: variables and secrets of the worker. */
  readonly environment: Readonly<Record<string, string>>;
  /** The sockets of the configuration: it has started when it listens on all of them. */
  readonly sockets: readonly string[];
  /** What it prints once it has started, a line at a time. */
  readonly print: (line: string) => void;
}

/**
 * workerd as a child of this process. It has a process group of its own, so that Ctrl-C in a terminal reaches this process alone,
 * which then drains it. If this process is killed, workerd is killed too.
 */
export class WorkerdProcess {
  readonly #child: ChildProcess;
  readonly #guard: ChildProcess | undefined;
  /** What it has printed before it had started, which tells why it has not. */
  readonly #firstLines: string[] = [];
  #hasStarted = false;
  /** Resolves when workerd has ended, with how: for the operator. */
  readonly ended: Promise<string>;

  private constructor({ configFile, folder, environment, print }: WorkerdOptions) {
    this.#child = spawn(WORKERD, ["serve", "--experimental", "--control-fd=3", configFile], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...environment, ...WINDOWS_NEEDS },
      detached: true,
      windowsHide: true,
    });
    this.#guard = this.#child.pid === undefined ? undefined : startGuard(this.#child.pid, folder);
    process.once("exit", this.#kill);
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      if (output === null) continue;
      createInterface(output).on("line", (line) => {
        if (this.#hasStarted) print(line);
        else this.#firstLines.push(line);
      });
    }
    this.ended = this.#untilEnded();
  }

  /**
   * Starts workerd. Returns it with the ports of its sockets.
   *
   * @throws Error it ends instead
   */
  static async start(
    options: WorkerdOptions,
  ): Promise<{ workerd: WorkerdProcess; ports: ReadonlyMap<string, number> }> {
    const started = new WorkerdProcess(options);
    const ports = await Promise.race([started.#untilListening(options.sockets), started.ended]);
    if (typeof ports === "string") throw new Error([ports, ...started.#firstLines].join("; "));
    started.#hasStarted = true;
    for (const line of started.#firstLines) options.print(line);
    return { workerd: started, ports };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Lets it answer what is in flight; kills it if that takes longer. Resolves when it has ended. */
  async end(deadlineMs: number): Promise<void> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(this.#kill, deadlineMs);
    await this.ended;
    clearTimeout(timer);
  }

  readonly #kill = (): void => {
    this.#child.kill("SIGKILL");
  };

  /** workerd reports each socket on which it listens as a line of JSON. */
  async #untilListening(sockets: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const ports = new Map<string, number>();
    for await (const line of createInterface(this.#child.stdio[3] as Readable)) {
      const { event, socket, port } = JSON.parse(line) as { event: string; socket: string; port: number };
      if (event === "listen") ports.set(socket, port);
      if (sockets.every((name) => ports.has(name))) return ports;
    }
    // It has ended.
    return new Promise(() => undefined);
  }

  async #untilEnded(): Promise<string> {
    const how = await Promise.race([
      once(this.#child, "close").then(([code, signal]) => `workerd has ended by ${signal ?? `exit code ${code}`}`),
      once(this.#child, "error").then(([error]) => `workerd cannot be started: ${error.message}`),
    ]);
    process.off("exit", this.#kill);
    this.#guard?.kill("SIGKILL");
    return how;
  }
}

/** Windows opens no socket without it. */
const WINDOWS_NEEDS: Readonly<Record<string, string>> =
  process.env["SystemRoot"] === undefined ? {} : { SystemRoot: process.env["SystemRoot"] };

/**
 * Kills workerd and removes its folder if this process ends without doing so: then nothing holds the other end of the guard's standard
 * input. Windows has no such shell.
 */
function startGuard(pid: number, folder: string): ChildProcess | undefined {
  if (platform() === "win32") return undefined;
  const guard = spawn("/bin/sh", ["-c", 'read -r _; kill -9 "$0"; rm -rf "$1"', String(pid), folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  // An edge runs without it as well.
  guard.on("error", () => undefined);
  guard.unref();
  return guard;
}
