import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Readable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../support/until.ts";

const FREE_PORTS = { EDGE_PORT: "0", BRIDGE_PORT: "0", PLAYER_PORT: "0", METRICS_PORT: "0", REDIS_REST_PORT: "0" };

/** `npm start`'s program in a process group of its own, as a terminal would run it. */
class StartedProgram {
  readonly #child;
  output = "";

  constructor(environment: Record<string, string>) {
    this.#child = spawn(process.execPath, ["dev/start.js"], {
      detached: true,
      env: { ...process.env, ...FREE_PORTS, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr] as Readable[]) {
      stream.on("data", (chunk: Buffer) => {
        this.output += chunk;
      });
    }
  }

  get groupId(): number {
    return this.#child.pid ?? 0;
  }

  /** To every process of the group, as Ctrl-C does. */
  signal(name: NodeJS.Signals): void {
    if (this.#child.exitCode === null) process.kill(-this.groupId, name);
  }

  async exitCode(): Promise<number | null> {
    if (this.#child.exitCode === null) await once(this.#child, "close");
    return this.#child.exitCode;
  }
}

describe("npm start", () => {
  let program: StartedProgram | undefined;
  afterEach(() => program?.signal("SIGKILL"));

  it("prints the addresses, the store, the key and what to try; Ctrl-C leaves no process behind", async () => {
    program = new StartedProgram({});
    await until(() => program?.output.includes("/docs") === true);
    expect(program.output).toMatch(/edge \(HTTP\) +http:\/\/127\.0\.0\.1:\d+\n/);
    expect(program.output).toMatch(/bridge \(TCP\) +127\.0\.0\.1:\d+\n/);
    expect(program.output).toMatch(
      /players \(TLS\) +127\.0\.0\.1:\d+, certificate SHA-256:\n +([0-9A-F]{2}:){31}[0-9A-F]{2}\n/,
    );
    expect(program.output).toContain("npm run -s artoria -- chat --room lobby --user kim");
    expect(program.output).toContain("embedded, nothing is kept");
    expect(program.output).toMatch(/API key +dev-key\n/);
    expect(program.output).toContain("curl -H 'Authorization: Bearer dev-key'");
    expect(program.output).toContain("npm run -s artoria -- check 7");
    expect((await groupMembers(program.groupId)).length).toBeGreaterThan(1);
    program.signal("SIGINT");
    expect(await program.exitCode()).toBe(0);
    await until(async () => (await groupMembers(program?.groupId ?? 0)).length === 0);
  });

  it("says in one line which port is taken, and leaves nothing running", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as { port: number };
    program = new StartedProgram({ BRIDGE_PORT: String(port) });
    expect(await program.exitCode()).toBe(1);
    expect(program.output).toMatch(new RegExp(`^npm start: BRIDGE_PORT: port ${port} of 127.0.0.1 is taken; .*\\n$`));
    expect(await groupMembers(program.groupId)).toEqual([]);
    holder.close();
  });

  it.each([
    ["EDGE_PORT", "x", "EDGE_PORT: allowed is a port"],
    ["SESSION_TTL_SECONDS", "0", "SESSION_TTL_SECONDS: allowed is a whole number"],
    ["REDIS_URL", "redis://127.0.0.1:1", ""],
  ])("ends with one line when %s is %s", async (name, value, line) => {
    program = new StartedProgram({ [name]: value });
    expect(await program.exitCode()).toBe(1);
    expect(program.output).toMatch(/^npm start: .+\n$/);
    expect(program.output).toContain(line);
    expect(await groupMembers(program.groupId)).toEqual([]);
  });
});

/** The living processes of a process group, by /proc/<pid>/stat: "pid (name) state ppid pgrp ...". */
async function groupMembers(groupId: number): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
  return stats.filter((stat) => {
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state !== "Z" && Number(group) === groupId;
  });
}
