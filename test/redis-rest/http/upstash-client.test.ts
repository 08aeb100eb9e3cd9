import { Redis } from "@upstash/redis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../../support/redis/redis-server.ts";

let server: RedisServer;
let rest: RedisRest;
let redis: Redis;

beforeAll(async () => {
  server = await startRedisServer();
  rest = await startTestRedisRest({ REDIS_URL: server.url });
  redis = new Redis({ url: rest.url, token: REDIS_REST_TOKEN });
});
beforeEach(async () => {
  await redis.flushdb();
});
afterAll(async () => {
  await rest?.close();
  await server?.stop();
});

describe("of @upstash/redis in its default configuration", () => {
  test.each([
    ["Unicode", "안녕 👋🏽 ﷽"],
    ["control characters", '\u0000\r\n"\\\u007f'],
    ["the status word itself", "OK"],
    ["text that looks like base64", "T0s="],
    ["nothing", ""],
    ["a megabyte", "é".repeat(2 ** 19)],
  ])("the client returns a value of %s unchanged", async (_, value) => {
    expect(await redis.set("key", value)).toBe("OK");
    expect(await redis.get("key")).toBe(value);
  });

  test("the client returns nil, arrays with nil and nested arrays as they are", async () => {
    await redis.mset({ a: "x", b: "y" });
    expect(await redis.get("missing")).toBeNull();
    expect(await redis.mget("a", "missing", "b")).toEqual(["x", null, "y"]);
    const script = "return {1, {'a', {'b', false}}, redis.status_reply('OK')}";
    expect(await redis.eval(script, [], [])).toEqual([1, ["a", ["b", null]], "OK"]);
  });

  test("the client keeps values that are integers beyond 2^53", async () => {
    await redis.set("big", "9007199254740993");
    expect(await redis.get("big")).toBe("9007199254740993");
    const response = await fetch(`${rest.url}/incrby/big/1`, {
      headers: { Authorization: `Bearer ${REDIS_REST_TOKEN}` },
    });
    expect(await response.text()).toBe('{"result":9007199254740994}');
  });

  test("the client runs scripts, and reports one that is missing", async () => {
    const sha = await redis.scriptLoad("return {KEYS[1], ARGV[1]}");
    expect(await redis.evalsha(sha, ["k"], ["v"])).toEqual(["k", "v"]);
    expect(await redis.evalshaRo(sha, ["k"], ["v"])).toEqual(["k", "v"]);
    await expect(redis.evalsha("0".repeat(40), [], [])).rejects.toThrow("NOSCRIPT");
    expect(await redis.createScript("return ARGV[1]").exec([], ["again"])).toBe("again");
  });

  test("the client pipelines by itself, in order, and each caller gets its own reply", async () => {
    const replies = await Promise.all(Array.from({ length: 500 }, () => redis.incr("counter")));
    expect(replies).toEqual(Array.from({ length: 500 }, (_, at) => at + 1));
  });

  test("the client sees one command of a pipeline fail and the others succeed", async () => {
    const pipeline = redis.pipeline().set("text", "abc").incr("text").get("text");
    const [set, incr, get] = await pipeline.exec({ keepErrors: true });
    expect([set.result, get.result]).toEqual(["OK", "abc"]);
    expect(incr.error).toContain("ERR value is not an integer or out of range");
  });

  test("the client executes a transaction as a whole", async () => {
    expect(await redis.multi().set("a", 1).incr("a").get("a").exec()).toEqual(["OK", 2, 2]);
  });

  test("the client gets an error for a discarded transaction, and none of it is executed", async () => {
    const response = await fetch(`${rest.url}/multi-exec`, {
      method: "POST",
      headers: { Authorization: `Bearer ${REDIS_REST_TOKEN}` },
      body: JSON.stringify([["SET", "a", "1"], ["GET"]]),
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("EXECABORT Transaction discarded because of previous errors");
    expect(await redis.get("a")).toBeNull();
  });
});
