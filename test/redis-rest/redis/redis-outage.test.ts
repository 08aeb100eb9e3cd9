import { afterAll, beforeAll, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { restCall, restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../../support/redis/redis-server.ts";
import { until } from "../../support/until.ts";

const DEADLINE_MS = 400;
/** What a busy machine may add; a call that hangs takes far longer. */
const SLACK_MS = 3_000;

let server: RedisServer;
let rest: RedisRest;

beforeAll(async () => {
  server = await startRedisServer();
  rest = await startTestRedisRest({ REDIS_URL: server.url, REDIS_REST_DEADLINE_MS: String(DEADLINE_MS) });
});
afterAll(async () => {
  await rest?.close();
  await server?.stop();
});

async function expectUnavailable(): Promise<void> {
  const startMs = performance.now();
  const responses = await Promise.all([
    restPost(rest, "/", ["INCR", "k"]),
    restPost(rest, "/pipeline", [["GET", "k"], ["PING"]]),
    restPost(rest, "/multi-exec", [["GET", "k"]]),
    restCall(rest, "/get/k"),
  ]);
  expect(performance.now() - startMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
  for (const { status, json } of responses) {
    expect([status, json]).toEqual([503, { error: expect.stringMatching(/^ERR .*try again$/) }]);
  }
}

async function expectService(): Promise<void> {
  await until(async () => (await restPost(rest, "/", ["PING"])).status === 200);
  await until(async () => (await restCall(rest, "/readyz")).status === 200);
}

test("requests fail within the deadline while Redis is stopped, and succeed when it goes on", async () => {
  await expectService();
  server.signal("SIGSTOP");
  await expectUnavailable();
  await until(async () => (await restCall(rest, "/readyz")).status === 503);
  await expectUnavailable();
  server.signal("SIGCONT");
  await expectService();
});

test("requests fail at once while Redis is killed, and succeed when another one has taken its place", async () => {
  await expectService();
  server.signal("SIGKILL");
  await server.exited;
  await expectUnavailable();
  expect((await restCall(rest, "/healthz")).status).toBe(200);
  const { port } = server;
  await server.stop();
  server = await startRedisServer({ port });
  await expectService();
});

test("requests of all callers fail while an endless script runs, and succeed afterwards", async () => {
  await expectService();
  const endless = await restPost(rest, "/", ["EVAL", "while true do end", "0"]);
  expect(endless.status).toBe(503);
  await expectUnavailable();
  const { port } = server;
  server.signal("SIGKILL");
  await server.stop();
  server = await startRedisServer({ port });
  await expectService();
});
