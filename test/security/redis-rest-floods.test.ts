import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import { Program } from "../support/processes/program.ts";
import { withRedis } from "../support/redis/redis-replicas.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

const MEBIBYTE = 2 ** 20;
const MAX_ANSWER_BYTES = MEBIBYTE;

let server: RedisServer;
let rest: RedisRest;

beforeAll(async () => {
  server = await startRedisServer();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  rest = await startTestRedisRest({
    REDIS_URL: server.url,
    // A busy machine may take long to send what is too much.
    REDIS_REST_DEADLINE_MS: "20000",
    REDIS_REST_MAX_RESPONSE_BYTES: String(MAX_ANSWER_BYTES),
  });
});
afterEach(() => rest?.close());

/** Commands of one kind that the server has executed since it started. */
function callsOf(command: string): Promise<number> {
  return withRedis(server, async (redis) => {
    const stats = await redis.info("commandstats");
    return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, "m").exec(stats)?.[1] ?? 0);
  });
}

/** Connections that the server has accepted since it started, the one that asks among them. */
function connectionsAccepted(): Promise<number> {
  return withRedis(server, async (redis) =>
    Number(/total_connections_received:(\d+)/.exec(await redis.info("stats"))?.[1]),
  );
}

async function expectSameConnection(act: () => Promise<void>): Promise<void> {
  const before = await connectionsAccepted();
  await act();
  expect((await restPost(rest, "/", ["ECHO", "still here"])).json).toEqual({ result: "still here" });
  expect(await connectionsAccepted()).toBe(before + 1);
}

describe("a body", () => {
  test.each(["/pipeline", "/multi-exec"])(
    "of more than 10,000 commands for %s is 400 and executes none",
    async (path) => {
      const body = (count: number) => Array.from({ length: count }, () => ["INCR", "counted"]);
      const answer = await restPost(rest, path, body(10_001));
      expect([answer.status, answer.json]).toEqual([
        400,
        { error: "ERR too many commands in a request. Limit: 10000" },
      ]);
      expect((await restPost(rest, "/", ["EXISTS", "counted"])).json).toEqual({ result: 0 });
      const most = await restPost(rest, path, body(10_000));
      expect([most.status, (most.json as unknown[]).length]).toEqual([200, 10_000]);
      expect((await restPost(rest, "/", ["GETDEL", "counted"])).json).toEqual({ result: "10000" });
    },
  );

  test("counts commands and not the brackets and commas of their arguments", async () => {
    const value = '[[,"],'.repeat(100);
    const commands = Array.from({ length: 500 }, () => ["ECHO", value]);
    const answer = await restPost(rest, "/pipeline", commands);
    expect(answer.json).toEqual(commands.map(() => ({ result: value })));
  });

  test.each([
    ["/", () => `["MGET"${',"a"'.repeat(1_100_000)}]`],
    ["/pipeline", () => `[["MGET"${',"a"'.repeat(1_100_000)}]]`],
    ["/pipeline", () => `${"[".repeat(5_000_000)}`],
    ["/", () => `${"[".repeat(3_000_000)}1${"]".repeat(3_000_000)}`],
    ["/", () => `["SET","k",${'{"a":'.repeat(1_000_000)}`],
  ])("for %s with more arguments than Redis takes is 400, and Redis does not hang up", async (path, body) => {
    await expectSameConnection(async () => {
      const answer = await restCall(rest, path, { method: "POST", body: body() });
      expect([answer.status, answer.json]).toEqual([400, { error: expect.stringMatching(/Limit: \d+$/) }]);
    });
  });
});

describe("an answer", () => {
  const tooLarge = {
    error: `ERR max response size exceeded. Limit: ${MAX_ANSWER_BYTES} bytes; what was asked may have happened`,
  };

  test("to a pipeline whose replies are too many is an error, and what has not been sent is not executed", async () => {
    await restPost(rest, "/", ["SET", "large", "x".repeat(50_000)]);
    const before = await callsOf("get");
    const gets = Array.from({ length: 10_000 }, () => ["GET", "large"]);
    await expectSameConnection(async () => {
      const answer = await restPost(rest, "/pipeline", gets);
      expect([answer.status, answer.json]).toEqual([400, tooLarge]);
    });
    expect((await callsOf("get")) - before).toBeLessThanOrEqual(128);
  });

  test("to a transaction whose replies are too many is an error", async () => {
    await restPost(rest, "/", ["SET", "large", "x".repeat(50_000)]);
    const gets = Array.from({ length: 100 }, () => ["GET", "large"]);
    await expectSameConnection(async () => {
      const answer = await restPost(rest, "/multi-exec", gets);
      expect([answer.status, answer.json]).toEqual([400, tooLarge]);
    });
  });

  test("of a single reply that is too large is an error, and others are answered meanwhile", async () => {
    await restPost(rest, "/", ["SETRANGE", "huge", String(2 * MAX_ANSWER_BYTES), "x"]);
    await expectSameConnection(async () => {
      const [answer, other] = await Promise.all([restPost(rest, "/", ["GET", "huge"]), restPost(rest, "/", ["PING"])]);
      expect([answer.status, answer.json]).toEqual([400, tooLarge]);
      expect(other.json).toEqual({ result: "PONG" });
    });
    const nested = "local t = {} for i = 1, 100000 do t[i] = {} end return t";
    expect((await restPost(rest, "/", ["EVAL", nested, "0"])).json).toEqual(tooLarge);
  });

  test("that nobody could hold ends the connection to Redis, is an error, and service goes on", async () => {
    await restPost(rest, "/", ["SETRANGE", "huge", String(150 * MEBIBYTE), "x"]);
    const answer = await restPost(rest, "/", ["GET", "huge"]);
    expect([answer.status, answer.json]).toEqual([400, tooLarge]);
    await until(async () => (await restPost(rest, "/", ["PING"])).status === 200);
    await restPost(rest, "/", ["DEL", "huge"]);
  });

  test("as large as the bound is given", async () => {
    await restPost(rest, "/", ["SET", "large", "x".repeat(MAX_ANSWER_BYTES)]);
    const { json } = await restPost(rest, "/", ["GET", "large"]);
    expect((json as { result: string }).result.length).toBe(MAX_ANSWER_BYTES);
  });
});

test("9.9 MB of PINGs reach Redis not at all, and do not make the program grow", async () => {
  const variables = { REDIS_URL: server.url, REDIS_REST_TOKEN, REDIS_REST_PORT: "0" };
  const program = Program.node("redis-rest/main.ts", [], variables);
  try {
    const [, url] = await program.prints(/"url":"(http:[^"]+)"/);
    const peakBytes = async () =>
      1024 * Number(/^VmHWM:\s+(\d+)/m.exec(await readFile(`/proc/${program.pid}/status`, "utf8"))?.[1]);
    const headers = { Authorization: `Bearer ${REDIS_REST_TOKEN}` };
    await fetch(`${url}/ping`, { headers });
    const [pings, before] = [await callsOf("ping"), await peakBytes()];
    const body = `[${Array(1_100_000).fill('["PING"]').join(",")}]`;
    const answer = await fetch(`${url}/pipeline`, { method: "POST", body, headers });
    expect(answer.status).toBe(400);
    expect((await peakBytes()) - before).toBeLessThan(150 * MEBIBYTE);
    expect(await callsOf("ping")).toBe(pings);
  } finally {
    await program.kill();
  }
});
