import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Program } from "../support/processes/program.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";

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

/** All that the program has written by its end, with the module loaded before it. */
async function outputOf(program: string, preload: string, env: Record<string, string>): Promise<string> {
  const data = `data:text/javascript,${encodeURIComponent(preload)}`;
  const running = new Program(process.execPath, ["--import", data, program], env);
  try {
    expect(await running.ended()).toBe(1);
    return running.output;
  } finally {
    await running.kill();
  }
}

const BRIDGE = {
  EDGE_URL: "http://127.0.0.1:1",
  API_KEY: "dev-key",
  BRIDGE_PORT: "0",
  METRICS_PORT: "0",
};

const REDIS_REST = { REDIS_REST_TOKEN: "t0ken", REDIS_REST_PORT: "0" };

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedisServer();
});
afterAll(() => redis.stop());

describe.each([
  ["the bridge", "tcp-bridge/main.ts", BRIDGE],
  ["redis-rest", "redis-rest/main.ts", REDIS_REST],
] as const)("an error of %s", (_, program, env) => {
  test.concurrent.each([
    ["that nobody catches", THROWS],
    ["at the start", FAILS],
  ])("%s begins no line of its log", async (_, preload) => {
    const output = await outputOf(program, preload, { ...env, REDIS_URL: redis.url });
    expect(output).toContain("forged");
    expect(output.split("\n").filter((line) => line.startsWith('{"level":30,"msg":"forged"}'))).toEqual([]);
  });
});
