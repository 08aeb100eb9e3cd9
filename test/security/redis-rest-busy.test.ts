import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import { restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const ENDLESS = "while true do end";
const ENDLESS_AFTER_WRITE = "redis.call('SET', 'k', 'v') while true do end";
const LIBRARY = `#!lua name=lib\nredis.register_function('endless', function() ${ENDLESS} end)`;

let server: RedisServer;
let rest: RedisRest;

async function start(env: Readonly<Record<string, string>> = {}): Promise<void> {
  const REDIS_URL = env["REDIS_URL"] ?? server.url;
  rest = await startTestRedisRest({ REDIS_REST_DEADLINE_MS: "150", ...env, REDIS_URL });
}

beforeEach(async () => {
  // Redis says BUSY after 5 s by default.
  server = await startRedisServer({ args: ["--busy-reply-threshold", "50"] });
});
afterEach(async () => {
  await rest?.close();
  server?.signal("SIGKILL");
  await server?.stop();
});

/** Uses a connection that Redis knows as another program's, also while it is busy. */
async function withStranger<T>(use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.port, server.host, { enableReadyCheck: false, retryStrategy: null });
  redis.on("error", () => undefined);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

const expectService = () => until(async () => (await restPost(rest, "/", ["INCR", "count"])).status === 200);

/** Redis's own words reach the caller, with a status that says: later. */
const expectBusy = () =>
  until(async () => {
    const { status, json } = await restPost(rest, "/", ["GET", "k"]);
    return status === 503 && /^BUSY Redis is busy running a script/.test((json as { error: string }).error);
  });

describe("a script of a caller that does not end", () => {
  test.each([
    ["EVAL", ["EVAL", ENDLESS, "0"]],
    ["EVAL_RO", ["EVAL_RO", ENDLESS, "0"]],
    ["FCALL", ["FCALL", "endless", "0"]],
  ])("by %s is given up at the deadline and killed, and others are served again", async (_, command) => {
    await withStranger((redis) => redis.call("FUNCTION", "LOAD", LIBRARY));
    await start();
    expect((await restPost(rest, "/", command)).status).toBe(503);
    await expectService();
  });

  test("in a pipeline and in a transaction is killed too, also in another database than the first", async () => {
    await start({ REDIS_URL: `${server.url}/3` });
    for (const path of ["/pipeline", "/multi-exec"]) {
      const commands = [["PING"], ["EVAL", ENDLESS, "0"], ["PING"]];
      expect((await restPost(rest, path, commands)).status).toBe(503);
      await expectService();
    }
    expect(await withStranger((redis) => redis.exists("count"))).toBe(0);
  });

  test("is killed again and again, without a connection too many", async () => {
    await start();
    for (let round = 0; round < 2; round++) {
      await Promise.all(Array.from({ length: 3 }, () => restPost(rest, "/", ["EVAL", ENDLESS, "0"])));
      await expectService();
    }
    const clients = await withStranger(async (redis) => String(await redis.call("CLIENT", "LIST")));
    expect(clients.trim().split("\n").length).toBeLessThanOrEqual(3);
  });

  test("and that has written is left to run, as Redis can't kill it; callers get BUSY", async () => {
    await start();
    expect((await restPost(rest, "/", ["EVAL", ENDLESS_AFTER_WRITE, "0"])).status).toBe(503);
    await expectBusy();
    await expectBusy();
  });

  test("is left to run where REDIS_REST_KILL_SCRIPTS is 0, until somebody kills it", async () => {
    await start({ REDIS_REST_KILL_SCRIPTS: "0" });
    expect((await restPost(rest, "/", ["EVAL", ENDLESS, "0"])).status).toBe(503);
    await expectBusy();
    await withStranger((redis) => redis.script("KILL"));
    await expectService();
  });
});

test("another program's script that keeps Redis busy is answered with BUSY, not killed, and left behind when it ends", async () => {
  await start();
  const stranger = new Redis(server.port, server.host);
  const script = stranger.eval(ENDLESS, 0).catch((error: Error) => error.message);
  await expectBusy();
  await expectBusy();
  await withStranger((redis) => redis.script("KILL"));
  expect(await script).toMatch(/killed by user/);
  await expectService();
  stranger.disconnect();
});
