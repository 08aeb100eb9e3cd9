import { Redis as Upstash } from "@upstash/redis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import { withRedis } from "../support/redis/redis-replicas.ts";
import { restCall, restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";

const LIBRARY = "#!lua name=lib\nredis.register_function{function_name='seven', callback=function() return 7 end}";

let server: RedisServer;
let rest: RedisRest;
let sha: string;

beforeAll(async () => {
  server = await startRedisServer();
  rest = await startTestRedisRest({ REDIS_URL: server.url });
  await withRedis(server, (redis) => redis.call("FUNCTION", "LOAD", LIBRARY));
  sha = await withRedis(server, async (redis) => String(await redis.script("LOAD", "return 7")));
});
afterAll(async () => {
  await rest?.close();
  await server?.stop();
});

const attempts: string[][] = [
  ["SCRIPT", "FLUSH"],
  ["script", "flush", "SYNC"],
  ["Script", "Flush", "ASYNC"],
  ["FUNCTION", "FLUSH"],
  ["function", "flush", "SYNC"],
  ["FUNCTION", "DELETE", "lib"],
  ["fUnCtIoN", "lOaD", "REPLACE", "#!lua name=lib\nredis.register_function('eight', function() return 8 end)"],
  ["FUNCTION", "RESTORE", "payload", "FLUSH"],
];

const refused = { error: expect.stringMatching(/^ERR Command is not available: '(SCRIPT|FUNCTION) [A-Z]+': /) };

async function expectUnchanged(): Promise<void> {
  expect((await restPost(rest, "/", ["EVALSHA", sha, "0"])).json).toEqual({ result: 7 });
  expect((await restPost(rest, "/", ["FCALL", "seven", "0"])).json).toEqual({ result: 7 });
}

const cases = attempts.map((words) => ({ words, name: words.slice(0, 2).join(" ") }));

test.each(cases)("$name is refused however it is sent, and changes nothing", async ({ words }) => {
  const alone = await restPost(rest, "/", words);
  expect([alone.status, alone.json]).toEqual([400, refused]);
  const piped = await restPost(rest, "/pipeline", [["PING"], words]);
  expect(piped.json).toEqual([{ result: "PONG" }, refused]);
  const transacted = await restPost(rest, "/multi-exec", [["PING"], words]);
  expect([transacted.status, transacted.json]).toEqual([400, refused]);
  const path = await restCall(rest, `/${words.map((word) => encodeURIComponent(word)).join("/")}`);
  expect([path.status, path.json]).toEqual([400, refused]);
  const body = await restCall(rest, `/${words[0]}`, { method: "POST", body: words[1] ?? "" });
  expect([body.status, body.json]).toEqual([400, refused]);
  await expectUnchanged();
});

test("a script can't flush them either", async () => {
  for (const call of ["'SCRIPT','FLUSH'", "'FUNCTION','FLUSH'", "'FUNCTION','DELETE','lib'"]) {
    const answer = await restPost(rest, "/", ["EVAL", `return redis.call(${call})`, "0"]);
    expect(answer.status).toBe(400);
  }
  await expectUnchanged();
});

test("a caller with a wrong token is told what the real service says, and its client reports it", async () => {
  const refusal = { error: "WRONGPASS invalid or missing auth token" };
  const answer = await restCall(rest, "/ping", { headers: { Authorization: "Bearer wrong" } });
  expect([answer.status, answer.json]).toEqual([401, refusal]);
  const client = new Upstash({ url: rest.url, token: "wrong", retry: false });
  await expect(client.ping()).rejects.toThrow(refusal.error);
});
