import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../../support/redis/redis-server.ts";

let server: RedisServer;
let rest: RedisRest | undefined;

beforeAll(async () => {
  server = await startRedisServer();
});
afterEach(async () => {
  await rest?.close();
  rest = undefined;
});
afterAll(async () => {
  await server?.stop();
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<RedisRest> {
  rest = await startTestRedisRest({ REDIS_URL: server.url, ...env });
  return rest;
}

const withoutToken = { headers: { Authorization: "" } };

test("probes need no token", async () => {
  const started = await start();
  expect((await restCall(started, "/healthz", withoutToken)).status).toBe(200);
  expect((await restCall(started, "/readyz", withoutToken)).status).toBe(200);
});

test("metrics count batches, and show neither commands nor keys nor the token", async () => {
  const started = await start();
  await restPost(started, "/", ["SET", "some-key", "some-value"]);
  await restPost(started, "/pipeline", [
    ["GET", "some-key"],
    ["INCR", "some-key"],
  ]);
  const { status, text } = await restCall(started, "/metrics", withoutToken);
  expect(status).toBe(200);
  expect(text).toContain('redis_rest_batches_total{outcome="replies"} 2');
  expect(text).toContain("redis_rest_batch_seconds_count 2");
  expect(text).toContain("redis_rest_primary_up 1");
  expect(text).not.toMatch(new RegExp(`some-key|some-value|${REDIS_REST_TOKEN}`));
});

test("metrics need the token if the server listens beyond loopback", async () => {
  const { port } = await start({ REDIS_REST_HOST: "0.0.0.0" });
  const local = { url: `http://127.0.0.1:${port}`, port, close: async () => undefined };
  expect((await restCall(local, "/metrics", withoutToken)).status).toBe(401);
  expect((await restCall(local, "/metrics")).status).toBe(200);
  expect((await restCall(local, "/healthz", withoutToken)).status).toBe(200);
});
