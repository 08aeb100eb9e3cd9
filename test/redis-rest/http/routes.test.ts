import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../../support/redis/redis-server.ts";

let server: RedisServer;
let rest: RedisRest;

beforeAll(async () => {
  server = await startRedisServer();
  rest = await startTestRedisRest({ REDIS_URL: server.url });
});
beforeEach(async () => {
  await restPost(rest, "/", ["FLUSHDB"]);
});
afterAll(async () => {
  await rest?.close();
  await server?.stop();
});

describe("of the token", () => {
  const routes = [
    ["POST", "/", '["SET","k","v"]'],
    ["POST", "/pipeline", '[["SET","k","v"]]'],
    ["POST", "/multi-exec", '[["SET","k","v"]]'],
    ["GET", "/set/k/v", undefined],
    ["POST", "/set/k", "v"],
  ] as const;
  test.each(routes)("the token is needed for %s %s", async (method, path, body) => {
    for (const shown of ["", "Bearer", "Bearer wrong", `Basic ${REDIS_REST_TOKEN}`, `Bearer ${REDIS_REST_TOKEN}x`]) {
      const refused = await restCall(rest, path, { method, body: body ?? null, headers: { Authorization: shown } });
      expect(refused.status, shown).toBe(401);
      expect(refused.json).toEqual({ error: "WRONGPASS invalid or missing auth token" });
    }
    expect((await restPost(rest, "/", ["EXISTS", "k"])).json).toEqual({ result: 0 });
    expect((await restCall(rest, path, { method, body: body ?? null })).status).toBe(200);
  });

  test("the token may be the query parameter _token, which is no argument then", async () => {
    const response = await restCall(rest, `/set/k/v?_token=${REDIS_REST_TOKEN}`, { headers: { Authorization: "" } });
    expect([response.status, response.json]).toEqual([200, { result: "OK" }]);
    expect((await restCall(rest, "/get/k?_token=wrong", { headers: { Authorization: "" } })).status).toBe(401);
  });
});

describe("of the path form", () => {
  test("a path holds the command's name and arguments, percent-encoded", async () => {
    expect((await restCall(rest, "/set/a%2Fb/%ED%95%9C%20%3F")).json).toEqual({ result: "OK" });
    expect((await restPost(rest, "/", ["GET", "a/b"])).json).toEqual({ result: "한 ?" });
    expect((await restCall(rest, "/get/%ff")).status).toBe(400);
  });

  test("the body follows the arguments of the path, and the query follows the body, byte for byte", async () => {
    const body = Buffer.from([0, 255, 128, 10, 13]);
    expect((await restCall(rest, "/set/k?EX=100&NX", { method: "POST", body })).json).toEqual({ result: "OK" });
    expect((await restCall(rest, "/set/k?EX=100&NX", { method: "PUT", body })).json).toEqual({ result: null });
    expect((await restCall(rest, "/ttl/k")).json).toEqual({ result: 100 });
    const base64 = { "Upstash-Encoding": "base64" };
    expect((await restCall(rest, "/get/k", { headers: base64 })).json).toEqual({ result: body.toString("base64") });
    expect((await restCall(rest, "/get/k")).json).toEqual({ result: body.toString("utf8") });
  });
});

describe("of a response", () => {
  test("a response in base64 has all strings encoded, at every depth, except the OK of a status", async () => {
    const script = "return {redis.status_reply('OK'), 7, {'a', false}, {}}";
    const commands = [
      ["SET", "k", "v"],
      ["EVAL", script, "0"],
      ["GET", "none"],
      ["INCR", "k"],
    ];
    const response = await restPost(rest, "/pipeline", commands, { "Upstash-Encoding": "base64" });
    expect(response.json).toEqual([
      { result: "OK" },
      { result: ["T0s=", 7, ["YQ==", null], []] },
      { result: null },
      { error: "ERR value is not an integer or out of range" },
    ]);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("upstash-sync-token")).toMatch(/^\d+$/);
  });

  test("numbers keep their digits in requests and responses", async () => {
    const number = "9007199254740993";
    const body = `["SET","n",${number}]`;
    expect((await restCall(rest, "/", { method: "POST", body })).json).toEqual({ result: "OK" });
    expect((await restPost(rest, "/", ["GET", "n"])).json).toEqual({ result: number });
    expect((await restPost(rest, "/", ["DECRBY", "n", 1])).text).toBe('{"result":9007199254740992}');
    expect((await restPost(rest, "/", ["INCRBY", "n", 1])).text).toBe(`{"result":${number}}`);
  });

  test("a command that fails gets 400 and its error", async () => {
    const response = await restPost(rest, "/", ["get"]);
    expect(response.status).toBe(400);
    expect(response.json).toEqual({ error: "ERR wrong number of arguments for 'get' command" });
  });

  test("a transaction has the error of a command in its place, and the commands after it are executed", async () => {
    const response = await restPost(rest, "/multi-exec", [
      ["SET", "k", "x"],
      ["INCR", "k"],
      ["APPEND", "k", "y"],
    ]);
    expect(response.status).toBe(200);
    expect(response.json).toEqual([
      { result: "OK" },
      { error: "ERR value is not an integer or out of range" },
      { result: 2 },
    ]);
  });
});

describe("of malformed requests", () => {
  test.each([
    ["/", "nonsense"],
    ["/", "{}"],
    ["/", "[]"],
    ["/", '[""]'],
    ["/", "[1]"],
    ["/", '["SET","k",null]'],
    ["/", '["SET","k",{}]'],
    ["/", '["SET","k",["v"]]'],
    ["/pipeline", '["GET","k"]'],
    ["/pipeline", "[]"],
    ["/pipeline", '[["GET","k"],[]]'],
    ["/multi-exec", '[["SET","k",null]]'],
  ])("%s with the body %s gets 400 and the reason", async (path, body) => {
    const response = await restCall(rest, path, { method: "POST", body });
    expect(response.status).toBe(400);
    expect(response.json).toEqual({ error: expect.stringMatching(/^ERR .{8}/) });
  });

  test("another method gets 405, and a body that is too large gets 413", async () => {
    expect((await restCall(rest, "/get/k", { method: "DELETE" })).status).toBe(405);
    const large = await restCall(rest, "/set/k", { method: "POST", body: Buffer.alloc(10 * 2 ** 20 + 1) });
    expect(large.status).toBe(413);
    expect(large.json).toEqual({ error: expect.stringContaining("max request size exceeded") });
    expect((await restPost(rest, "/", ["PING"], { "Upstash-Response-Format": "resp2" })).status).toBe(400);
  });
});
