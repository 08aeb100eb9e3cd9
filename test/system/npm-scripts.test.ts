import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { buildEdge } from "../../dev/build-edge.ts";
import { freePort } from "../../dev/free-port.ts";
import { EDGE_BUILD_DIRECTORY } from "../../edge/edge-build.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** npm under test: that which runs the tests. On Debian its shell is dash, which stays between npm and the program. */
const [NPM, ...NPM_ARGUMENTS] =
  process.env["npm_execpath"] === undefined
    ? ["npm"]
    : [process.execPath, join(process.env["npm_execpath"], "../npm-cli.js")];

/** For the whole stack on a machine that does much else. It only bounds a failure. */
const START_DEADLINE_MS = 120_000;

/** A script that npm runs in a process group of its own, as a terminal does. */
class NpmScript {
  output = "";
  readonly #child: ChildProcess;

  constructor(script: string, variables: Readonly<Record<string, string>>) {
    const { PATH = "", NODE_COMPILE_CACHE = "" } = process.env;
    this.#child = spawn(NPM ?? "npm", [...NPM_ARGUMENTS, "run", script], {
      cwd: ROOT,
      detached: true,
      env: { PATH, HOME: tmpdir(), NODE_COMPILE_CACHE, ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        this.output += chunk;
      });
    }
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async prints(pattern: RegExp): Promise<void> {
    await until(() => this.#hasEnded || pattern.test(this.output), START_DEADLINE_MS);
    if (!pattern.test(this.output)) throw new Error(`npm has ended: ${this.output}`);
  }

  /** To npm alone, as `kill` and service managers do. */
  signalNpm(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** To every process of the group, as a terminal does at Ctrl-C. */
  signalGroup(name: NodeJS.Signals): void {
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, name);
  }

  /** Until npm has ended and no process of its group lives. */
  async allEnded(): Promise<void> {
    if (!this.#hasEnded) await once(this.#child, "exit");
    await until(async () => (await this.#processes()).length === 0);
  }

  async kill(): Promise<void> {
    if ((await this.#processes()).length > 0) this.signalGroup("SIGKILL");
  }

  /** By /proc/<pid>/stat: "pid (name) state ppid pgrp ...". */
  async #processes(): Promise<string[]> {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
    return stats.filter((stat) => {
      const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state !== "Z" && Number(group) === this.#child.pid;
    });
  }
}

let script: NpmScript | undefined;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-npm-"));
  return () => rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await script?.kill();
});

const FREE_PORTS = {
  EDGE_PORT: "0",
  BRIDGE_PORT: "0",
  PLAYER_PORT: "0",
  METRICS_PORT: "0",
  CHECK_PORT: "0",
  REDIS_REST_PORT: "0",
};
const KEY = "k".repeat(32);

const SCRIPTS: Readonly<Record<string, () => Promise<readonly [variables: Record<string, string>, ready: RegExp]>>> = {
  start: async () => [FREE_PORTS, /Ctrl-C stops/],
  bridge: async () => [
    { BRIDGE_PORT: "0", METRICS_PORT: "0", EDGE_URL: `http://127.0.0.1:${await freePort()}`, API_KEY: KEY },
    /the bridge listens/,
  ],
  edge: async () => {
    await buildEdge(EDGE_BUILD_DIRECTORY);
    const stateDirectory = join(folder, randomUUID());
    return [{ EDGE_PORT: "0", STATE_DIR: stateDirectory, SESSION_STORE: "embedded", API_KEYS: KEY }, /"listening"/];
  },
};

describe.each(Object.keys(SCRIPTS))("npm run %s", (name) => {
  async function startScript(): Promise<NpmScript> {
    const [variables, ready] = (await SCRIPTS[name]?.()) ?? [{}, /^/];
    script = new NpmScript(name, variables);
    await script.prints(ready);
    return script;
  }

  test("ends all of it at a SIGTERM that only npm gets", async () => {
    const started = await startScript();
    started.signalNpm("SIGTERM");
    await started.allEnded();
  });

  test("ends all of it at a Ctrl-C", async () => {
    const started = await startScript();
    started.signalGroup("SIGINT");
    await started.allEnded();
    expect(started.output).not.toMatch(/Error|ELIFECYCLE/);
  });
});

describe("npm run redis-rest", () => {
  test("ends all of it at a SIGTERM that only npm gets", async () => {
    const redis = await startRedisServer();
    try {
      script = new NpmScript("redis-rest", { REDIS_URL: redis.url, REDIS_REST_TOKEN: KEY, REDIS_REST_PORT: "0" });
      await script.prints(/"listening"/);
      script.signalNpm("SIGTERM");
      await script.allEnded();
    } finally {
      await redis.stop();
    }
  });
});
