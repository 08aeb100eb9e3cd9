import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect, it } from "vitest";
import { startRedisServer } from "../support/redis/redis-server.ts";

const MESSAGE = 'the first line\n{"level":30,"msg":"forged"}';

/** Throws what nobody catches, once the program has begun to listen. */
const THROWS = `import net from "node:net";
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  setTimeout(() => { throw new Error(${JSON.stringify(MESSAGE)}); }, 0);
  return listen.apply(this, args);
};`;

/** Fails to listen, where the program waits for it. */
const FAILS = `import net from "node:net";
net.Server.prototype.listen = function () { throw new Error(${JSON.stringify(MESSAGE)}); };`;

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** All that the program has written by its end, with the module loaded before it. */
async function outputOf(program: string, preload: string, env: Record<string, string>): Promise<string> {
  const data = `data:text/javascript,${encodeURIComponent(preload)}`;
  const child = spawn(process.execPath, ["--import", data, program], { env: { PATH: process.env["PATH"], ...env } });
  stops.push(async () => child.kill("SIGKILL"));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      text += chunk;
    });
  }
  const [code] = await once(child, "close");
  expect(code).toBe(1);
  return text;
}

const BRIDGE = {
  EDGE_URL: "http://127.0.0.1:1",
  API_KEY: "dev-key",
  BRIDGE_PORT: "0",
  METRICS_PORT: "0",
};

it.each([
  ["that nobody catches", THROWS],
  ["at the start", FAILS],
])("an error %s begins no line of the bridge's log", async (_, preload) => {
  const output = await outputOf("tcp-bridge/main.ts", preload, BRIDGE);
  expect(output).toContain("forged");
  expect(output.split("\n").filter((line) => line.startsWith('{"level":30,"msg":"forged"}'))).toEqual([]);
});

it.each([
  ["that nobody catches", THROWS],
  ["at the start", FAILS],
])("an error %s begins no line of redis-rest's log", async (_, preload) => {
  const redis = await startRedisServer();
  stops.push(() => redis.stop());
  const env = { REDIS_URL: redis.url, REDIS_REST_TOKEN: "t0ken", REDIS_REST_PORT: "0" };
  const output = await outputOf("redis-rest/main.ts", preload, env);
  expect(output).toContain("forged");
  expect(output.split("\n").filter((line) => line.startsWith('{"level":30,"msg":"forged"}'))).toEqual([]);
});
