import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { Agent, get, type IncomingMessage, request } from "node:http";
import { get as getByTls } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { ClosedCode, WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { selfSigned } from "../support/peers/certificates.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import {
  childrenOf,
  isRunning,
  OWN_EDGE_KEY,
  type OwnEdge,
  spawnOwnEdge,
  startOwnEdge,
} from "../support/processes/own-edge.ts";
import type { Program } from "../support/processes/program.ts";
import { STORES, type StoreName } from "../support/processes/running-stack.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const PASSWORD = "correct horse battery";
/** What an orchestrator waits after SIGTERM, at least. */
const STOP_MS = 10_000;

/** A folder of the test: its STATE_DIR, and its programs' TMPDIR. */
let folder: string;
let stateDir: string;
let temporary: string;
const programs: Program[] = [];
const stops: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "artoria-own-"));
  stateDir = join(folder, "state");
  temporary = join(folder, "tmp");
  await mkdir(temporary);
});
afterEach(async () => {
  for (const program of programs.splice(0)) await program.kill();
  for (const stop of stops.splice(0).reverse()) await stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(variables: Readonly<Record<string, string>> = {}): Promise<OwnEdge> {
  const edge = await startOwnEdge({ STATE_DIR: stateDir, TMPDIR: temporary, ...variables });
  programs.push(edge.program);
  return edge;
}

async function spawned(variables: Readonly<Record<string, string>>): Promise<Program> {
  const program = await spawnOwnEdge({ STATE_DIR: stateDir, TMPDIR: temporary, ...variables });
  programs.push(program);
  return program;
}

/** Ends the program by SIGTERM. Returns its exit code. */
async function stop({ program }: OwnEdge): Promise<number | null> {
  program.signal("SIGTERM");
  return program.ended();
}

/** The variables with which an edge uses a store of this test. */
async function variablesOf(store: StoreName): Promise<Record<string, string>> {
  if (store === "embedded") return {};
  const redis = await startRedisServer();
  stops.push(() => redis.stop());
  const rest = await startTestRedisRest({ REDIS_URL: redis.url });
  stops.push(() => rest.close());
  return {
    SESSION_STORE: "redis",
    UPSTASH_REDIS_REST_URL: rest.url,
    UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
  };
}

async function ask({ url }: OwnEdge, method: string, path: string, body?: unknown): Promise<Response> {
  const headers = { Authorization: `Bearer ${OWN_EDGE_KEY}`, "Content-Type": "application/json" };
  return fetch(url + path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
}

async function issue(edge: OwnEdge, user: string): Promise<string> {
  const response = await ask(edge, "POST", "/v1/sessions", { user });
  expect(response.status).toBe(201);
  return ((await response.json()) as { token: string }).token;
}

async function check({ url }: OwnEdge, token: string): Promise<number> {
  return (await fetch(`${url}/v1/check`, { headers: { Authorization: `Bearer ${token}` } })).status;
}

async function workerdOf({ program }: OwnEdge): Promise<number> {
  const workerd = (await childrenOf(program.pid)).find(({ name }) => name === "workerd");
  expect(workerd).toBeDefined();
  return workerd?.pid ?? 0;
}

describe.each(STORES)("npm run edge on the %s store", (store) => {
  test("it keeps sessions, accounts and rooms over a restart, and serves pages and logins", async () => {
    const variables = await variablesOf(store);
    let edge = await start(variables);
    expect((await ask(edge, "POST", "/v1/accounts", { name: "kim", password: PASSWORD })).status).toBe(201);
    const token = await issue(edge, "lee");
    expect((await ask(edge, "POST", "/v1/rooms/lobby/messages", { text: "kept" })).status).toBeLessThan(300);
    const room = await (await ask(edge, "GET", "/v1/rooms/lobby")).json();
    expect(room).toMatchObject({ offset: 1 });
    expect(await stop(edge)).toBe(0);

    edge = await start(variables);
    expect(await check(edge, token)).toBe(200);
    expect(await (await ask(edge, "GET", "/v1/rooms/lobby")).json()).toEqual(room);
    const browser = new CookieClient(edge.url);
    expect(await (await browser.open("/login")).text()).toContain('href="/artoria/pages.css"');
    expect((await browser.open("/artoria/pages.css")).headers.get("Content-Type")).toBe("text/css");
    expect((await browser.submit("/login", { user: "kim", password: "a wrong password" })).status).toBe(401);
    expect((await browser.submit("/login", { user: "kim", password: PASSWORD })).status).toBe(303);
    expect((await browser.open("/me")).status).toBe(200);
    // Nobody makes an account alone, as in wrangler.toml's production environment.
    expect((await new CookieClient(edge.url).submit("/signup", { user: "lee", password: PASSWORD })).status).toBe(403);
  });
});

describe("the end of npm run edge", () => {
  test("the program ends with an error when workerd is killed, and leaves nothing behind", async () => {
    const edge = await start();
    process.kill(await workerdOf(edge), "SIGKILL");
    expect(await edge.program.ended()).toBe(1);
    expect(edge.program.stderr).toContain("artoria edge: workerd has ended by SIGKILL");
    expect(await readdir(temporary)).toEqual([]);
    // Its supervisor starts it again.
    expect((await fetch(`${(await start()).url}/readyz`)).status).toBe(200);
  });

  test("workerd and its folder do not outlive a program that is killed", async () => {
    const edge = await start();
    const workerd = await workerdOf(edge);
    await edge.program.kill();
    await until(async () => !(await isRunning(workerd)));
    await until(async () => (await readdir(temporary)).length === 0);
    // The lock of a killed program does not count.
    expect((await fetch(`${(await start()).url}/readyz`)).status).toBe(200);
  });

  test("Ctrl-C, which reaches its whole process group, drains it", async () => {
    const edge = await start();
    expect((await childrenOf(edge.program.pid)).map(({ name }) => name).sort()).toEqual(["sh", "workerd"]);
    for (const { pid } of await childrenOf(edge.program.pid)) {
      const group = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ")[2];
      expect(Number(group)).toBe(pid);
    }
    edge.program.signal("SIGINT");
    expect(await edge.program.ended()).toBe(0);
    expect(edge.program.stdout).toContain('"msg":"stopped"');
  });

  test("a stop under load says so on /readyz first, breaks no check, and takes less than 10 s", async () => {
    const edge = await start({ EDGE_DRAIN_MS: "1500" });
    const token = await issue(edge, "kim");
    const verdicts: (number | string)[] = [];
    let asking = true;
    // Keep-alive is what proxies do; whoever finds the port closed goes to another edge.
    const agent = new Agent({ keepAlive: true });
    const asker = async () => {
      while (asking) verdicts.push(await checkOnce(edge.url, token, agent));
    };
    const askers = Array.from({ length: 8 }, asker);
    await until(() => verdicts.length >= 50);
    const begunAt = Date.now();
    edge.program.signal("SIGTERM");
    await until(async () => (await fetch(`${edge.url}/readyz`)).status === 503);
    const before = verdicts.length;
    await until(() => verdicts.length >= before + 50);
    expect(await edge.program.ended()).toBe(0);
    expect(Date.now() - begunAt).toBeLessThan(STOP_MS);
    asking = false;
    await Promise.all(askers);
    agent.destroy();
    const wrong = verdicts.filter(
      (verdict) => verdict !== 200 && verdict !== "ECONNREFUSED" && verdict !== "ECONNRESET",
    );
    expect(wrong).toEqual([]);
    // All that were asked while it said that it drained were answered.
    const firstFailure = verdicts.findIndex((verdict) => verdict !== 200);
    expect(firstFailure === -1 || firstFailure > before).toBe(true);
  });

  test("a stop ends rooms' WebSockets so that players return, bridges' leases and streams of events", async () => {
    const edge = await start();
    const token = await issue(edge, "kim");
    const service = { headers: { Authorization: `Bearer ${OWN_EDGE_KEY}` } };
    const socketUrl = edge.url.replace("http", "ws");
    const player = new WebSocket(`${socketUrl}/v1/rooms/lobby/socket`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    const bridge = new WebSocket(`${socketUrl}/v1/leases`, service);
    const closes = [once(player, "close"), once(bridge, "close")];
    await Promise.all([once(player, "open"), once(bridge, "open")]);
    const stream = (await fetch(`${edge.url}/v1/events`, service)).text().catch(() => "ended");
    const begunAt = Date.now();
    expect(await stop(edge)).toBe(0);
    expect(Date.now() - begunAt).toBeLessThan(STOP_MS);
    const [[playersCode]] = (await Promise.all(closes)) as [[number], [number]];
    expect(playersCode).toBe(WEBSOCKET_CLOSE_BASE + ClosedCode.GoingAway);
    expect(await stream).toBeTypeOf("string");
  });

  test("a request that hangs does not keep it from ending within 10 s", async () => {
    const edge = await start();
    const hanging = request(`${edge.url}/v1/sessions`, {
      method: "POST",
      headers: { Authorization: `Bearer ${OWN_EDGE_KEY}`, "Content-Type": "application/json", "Content-Length": "100" },
    });
    hanging.on("error", () => undefined).write("{");
    await until(async () => (await fetch(`${edge.url}/readyz`)).ok);
    const begunAt = Date.now();
    expect(await stop(edge)).toBe(0);
    expect(Date.now() - begunAt).toBeLessThan(STOP_MS);
  });
});

/** One check: its status, or the code of the error that no response came. */
function checkOnce(url: string, token: string, agent: Agent): Promise<number | string> {
  return new Promise((resolve) => {
    get(`${url}/v1/check`, { agent, headers: { Authorization: `Bearer ${token}` } }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode ?? 0));
      response.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    }).once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

describe("who reaches npm run edge", () => {
  test("limits count by who has connected, whatever headers say", async () => {
    const edge = await start();
    const statuses: number[] = [];
    for (let index = 1; index <= 40 && !statuses.includes(429); index++) {
      const forged = `192.0.2.${index}`;
      const headers = {
        Authorization: "Bearer wrong",
        "CF-Connecting-IP": forged,
        "X-Forwarded-For": forged,
        "X-Real-IP": forged,
        "MF-CF-Blob": `{"clientIp":"${forged}:1"}`,
      };
      statuses.push((await fetch(`${edge.url}/v1/count`, { headers })).status);
    }
    expect(statuses.at(-1)).toBe(429);
  });

  test("beyond loopback plain HTTP is for TRUSTED_PROXIES alone, whatever headers say", async () => {
    const edge = await start({ EDGE_HOST: "0.0.0.0", TRUSTED_PROXIES: "127.0.0.2,127.1.0.0/16" });
    const { port } = new URL(edge.url);
    const statusFrom = (localAddress: string, headers: Record<string, string> = {}) =>
      new Promise<number>((resolve, reject) => {
        const asked = { host: "127.0.0.1", port, path: "/healthz", localAddress, headers, agent: false } as const;
        get(asked, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        }).once("error", reject);
      });
    expect(await statusFrom("127.0.0.2")).toBe(200);
    expect(await statusFrom("127.1.2.3")).toBe(200);
    expect(await statusFrom("127.0.0.3")).toBe(403);
    expect(await statusFrom("127.0.0.3", { "CF-Connecting-IP": "127.0.0.2", "X-Forwarded-For": "127.0.0.2" })).toBe(
      403,
    );
  });

  test("with a certificate it serves TLS and no plain HTTP, and needs no proxy beyond loopback", async () => {
    const { cert, key } = await selfSigned("localhost");
    const edge = await start({ EDGE_HOST: "0.0.0.0", EDGE_TLS_CERT: cert, EDGE_TLS_KEY: key });
    const { port } = new URL(edge.url);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      getByTls(`https://localhost:${port}/readyz`, { ca: cert }, resolve).once("error", reject);
    });
    expect([response.statusCode, await text(response)]).toEqual([200, '{"status":"ok"}']);
    await expect(fetch(`http://127.0.0.1:${port}/readyz`)).rejects.toThrow();
    expect((await filesBelow(temporary)).filter((content) => content.includes(key.split("\n")[1] ?? "-"))).toEqual([]);
  });

  test("secrets are on no command line and in no file that it writes", async () => {
    const edge = await start();
    const pids = [edge.program.pid, ...(await childrenOf(edge.program.pid)).map(({ pid }) => pid)];
    const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8")));
    expect(lines.filter((line) => line.includes(OWN_EDGE_KEY))).toEqual([]);
    const written = [...(await filesBelow(temporary)), ...(await filesBelow(stateDir))];
    expect(written.length).toBeGreaterThan(5);
    expect(written.filter((content) => content.includes(OWN_EDGE_KEY))).toEqual([]);
  });

  test("its sockets for workerd are in a folder that others cannot enter", async () => {
    await start();
    const [own = ""] = await readdir(temporary);
    expect((await stat(join(temporary, own))).mode & 0o077).toBe(0);
    // The configuration held what they show each other.
    expect(await readdir(join(temporary, own))).not.toContain("config.capnp");
  });
});

describe("what npm run edge refuses to start with", () => {
  test("a STATE_DIR that another edge uses, and a port that is taken", async () => {
    const edge = await start();
    const second = await spawned({});
    expect(await second.ended()).toBe(1);
    expect(second.stderr).toContain(`STATE_DIR: another edge uses ${stateDir}`);
    const third = await spawned({ STATE_DIR: join(folder, "other"), EDGE_PORT: new URL(edge.url).port });
    expect(await third.ended()).toBe(1);
    expect(third.stderr).toContain(`EDGE_HOST, EDGE_PORT: nothing can listen on 127.0.0.1:${new URL(edge.url).port}`);
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(200);
  });

  test("a TMPDIR in which no unix socket has place", async () => {
    const deep = join(temporary, "a-long-name".repeat(10));
    await mkdir(deep);
    const program = await spawned({ TMPDIR: deep });
    expect(await program.ended()).toBe(1);
    expect(program.stderr).toContain("artoria edge: TMPDIR: allowed is a shorter path");
    expect(await readdir(deep)).toEqual([]);
  });
});

/** The contents of all plain files below a folder. */
async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), "latin1")));
}
