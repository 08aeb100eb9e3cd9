import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { until } from "../support/until.ts";

const FREE_PORTS = {
  EDGE_PORT: "0",
  BRIDGE_PORT: "0",
  PLAYER_PORT: "0",
  METRICS_PORT: "0",
  CHECK_PORT: "0",
  REDIS_REST_PORT: "0",
};

/** `npm start`'s program in a process group of its own, as a terminal runs it. It prints to a file, so without delay. */
class StartedProgram {
  readonly #child;
  readonly #folder: string;
  readonly #logFile: string;

  constructor(folder: string, environment: Record<string, string> = {}) {
    this.#folder = folder;
    this.#logFile = join(folder, "log.txt");
    const log = openSync(this.#logFile, "w");
    this.#child = spawn(process.execPath, ["dev/start.js"], {
      detached: true,
      env: { ...process.env, ...FREE_PORTS, TMPDIR: folder, ...environment },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  output(): Promise<string> {
    return readFile(this.#logFile, "utf8");
  }

  /** To every process of the group, as Ctrl-C does. */
  signalGroup(name: NodeJS.Signals): void {
    if (this.isRunning) process.kill(-this.pid, name);
  }

  /** To the program alone, as `kill` does. */
  signal(name: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.pid, name);
  }

  async exitCode(): Promise<number | null> {
    if (this.isRunning) await once(this.#child, "exit");
    return this.#child.exitCode;
  }

  /**
   * The living processes of the group, by /proc/<pid>/stat: "pid (name) state ppid pgrp ...", and those that have a group of their own:
   * their command names its temporary folder.
   */
  async processes(): Promise<{ readonly pid: number; readonly name: string }[]> {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(
      pids.map(async (pid) => {
        const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
        const end = stat.lastIndexOf(")");
        const [state = "Z", , group] = stat.slice(end + 2).split(" ");
        const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
        const isOurs = Number(group) === this.pid || command.includes(this.#folder);
        const process = { pid: Number(pid), name: stat.slice(stat.indexOf("(") + 1, end) };
        return state !== "Z" && isOurs ? [process] : [];
      }),
    );
    return found.flat();
  }

  async expectNoProcess(): Promise<void> {
    await until(async () => (await this.processes()).length === 0);
  }
}

let folder: string;
let program: StartedProgram | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-start-"));
});
afterEach(async () => {
  program?.signalGroup("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

describe("dev/start.ts", () => {
  test("npm start prints its banner before any part responds, drains after a Ctrl-C, and leaves no process behind", async () => {
    const [edge, metrics] = [await freePort(), await freePort()];
    program = new StartedProgram(folder, { EDGE_PORT: String(edge), METRICS_PORT: String(metrics) });
    const [banner = ""] = await Promise.all([outputAtFirstResponse(edge), outputAtFirstResponse(metrics)]);
    expect(banner).toMatch(/edge \(HTTP\) +http:\/\/127\.0\.0\.1:\d+\n/);
    expect(banner).toMatch(/bridge \(TCP\) +127\.0\.0\.1:\d+\n/);
    expect(banner).toMatch(
      /players \(TLS\) +127\.0\.0\.1:\d+, certificate SHA-256:\n +([0-9A-F]{2}:){31}[0-9A-F]{2}\n/,
    );
    expect(banner).toMatch(/checks \(HTTP\) +http:\/\/127\.0\.0\.1:\d+\/v1\/check\n/);
    expect(banner).toContain("npm run -s artoria -- chat --room lobby --user kim");
    expect(banner).toContain("embedded, nothing is kept");
    expect(banner).toMatch(/API key +dev-key\n/);
    expect(banner).toContain("curl -H 'Authorization: Bearer dev-key'");
    expect(banner).toContain("npm run -s artoria -- check 7");
    expect(banner).toMatch(/accounts grant ops console:write --edge (http:\/\/127\.0\.0\.1:\d+)\n {2}\1\/console\n/);
    expect((await program.processes()).length).toBeGreaterThan(1);
    // npm passes on each SIGINT of the terminal, so one Ctrl-C is two of them.
    program.signalGroup("SIGINT");
    program.signalGroup("SIGINT");
    expect(await program.exitCode()).toBe(0);
    await program.expectNoProcess();
  });

  /** What the program has printed when a port has responded for the first time. */
  async function outputAtFirstResponse(port: number): Promise<string> {
    await until(() => fetch(`http://127.0.0.1:${port}/healthz`).then(({ ok }) => ok));
    const output = (await program?.output()) ?? "";
    expect(output).toContain("/docs");
    return output;
  }

  test("npm start reports a wrong variable in one line, and leaves no process behind", async () => {
    program = new StartedProgram(folder, { SESSION_TTL_SECONDS: "0" });
    expect(await program.exitCode()).toBe(1);
    expect(await program.output()).toMatch(/^npm start: SESSION_TTL_SECONDS: allowed is a whole number.*\n$/);
    await program.expectNoProcess();
  });

  test("npm start names the variable of a port that is taken, and leaves no process behind", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as { port: number };
    program = new StartedProgram(folder, { BRIDGE_PORT: String(port) });
    expect(await program.exitCode()).toBe(1);
    expect(await program.output()).toBe(
      `npm start: BRIDGE_PORT: port ${port} of 127.0.0.1 is taken; set BRIDGE_PORT to another port, or to 0 for any free one\n`,
    );
    await program.expectNoProcess();
    holder.close();
  });

  test("npm start ends at the second signal without waiting for the drain, and leaves no process behind", async () => {
    const [game, metrics] = [await freePort(), await freePort()];
    const ports = { BRIDGE_PORT: String(game), METRICS_PORT: String(metrics) };
    program = new StartedProgram(folder, { ...ports, BRIDGE_EDGE_DEADLINE_MS: "60000" });
    await until(async () => (await program?.output())?.includes("/docs"));
    const workerd = (await program.processes()).find(({ name }) => name === "workerd");
    expect(workerd).toBeDefined();
    if (workerd !== undefined) process.kill(workerd.pid, "SIGSTOP");
    const client = connect(game, "127.0.0.1");
    client.on("error", () => undefined);
    await once(client, "connect");
    // A SessionCheck that no edge responds to keeps the bridge from draining.
    client.write(Buffer.from([8, 0, 1, 0, 7, 0, 0, 0]));
    await until(async () => {
      const response = await fetch(`http://127.0.0.1:${metrics}/metrics`);
      return /^artoria_bridge_batches_in_flight 1$/m.test(await response.text());
    });
    program.signal("SIGTERM");
    // A signal soon after the first one counts as the same keypress.
    await until(() => {
      program?.signalGroup("SIGINT");
      return program?.isRunning === false;
    });
    expect(await program.exitCode()).toBe(130);
    await program.expectNoProcess();
    client.destroy();
  });

  test.each(["esbuild", "workerd"])(
    "npm start ends at a SIGINT while %s starts, and leaves no process and no file behind",
    async (child) => {
      program = new StartedProgram(folder);
      await until(async () => (await program?.processes())?.some(({ name }) => name === child));
      program.signal("SIGINT");
      expect(await program.exitCode()).toBe(130);
      await program.expectNoProcess();
      expect(await program.output()).toBe("");
      await until(async () => (await readdir(folder)).join() === "log.txt");
    },
  );
});
