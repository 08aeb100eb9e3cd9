import { Redis as Upstash } from "@upstash/redis";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import { AcknowledgedWrites } from "../support/histories/acknowledged-writes.ts";
import { withRedis } from "../support/redis/redis-replicas.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisWithSentinels, startRedisWithSentinels } from "../support/redis/redis-sentinels.ts";
import { until } from "../support/until.ts";

const DEADLINE_MS = 1_000;
/** What a small, shared machine may add to an answer; a call that hangs takes as long as the failover. */
const SLACK_MS = 2_000;
const CALLERS = 8;
const WRITES_BEFORE = 500;
const WRITES_AFTER = 500;
const FAILOVER_MS = 90_000;

let redis: RedisWithSentinels;
let rest: RedisRest;

beforeEach(async () => {
  redis = await startRedisWithSentinels({ replicas: 2, sentinels: 3 });
  rest = await startTestRedisRest({
    ...redis.env,
    WRITE_REPLICAS: "1",
    REPLICA_READS: "1",
    REDIS_REST_DEADLINE_MS: String(DEADLINE_MS),
  });
});
afterEach(async () => {
  await rest?.close();
  await redis?.stop();
});

// A primary that is killed hangs up; one that is stopped keeps its connections and says nothing.
test.each(["SIGKILL", "SIGSTOP"] as const)("no acknowledged write is lost when the primary gets %s", async (signal) => {
  const client = new Upstash({ url: rest.url, token: REDIS_REST_TOKEN });
  const load = new AcknowledgedWrites(
    {
      register: async (key) => void (await client.set(key, "registered")),
      remove: async (key) => void (await client.del(key)),
    },
    CALLERS,
  );
  await until(() => load.acknowledged >= WRITES_BEFORE);
  const { port: oldPort } = redis.primary;
  redis.primary.signal(signal);

  await until(() => load.failed > 0);
  const newPort = await until(async () => {
    const port = await redis.primaryPort();
    return port !== oldPort && port;
  }, FAILOVER_MS);
  const acknowledgedAtFailover = load.acknowledged;
  await until(() => load.acknowledged >= acknowledgedAtFailover + WRITES_AFTER, FAILOVER_MS);
  const ledger = await load.stop();

  expect(ledger.slowestMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
  const promoted = redis.replicas.find(({ port }) => port === newPort);
  if (promoted === undefined) throw new Error("the new primary is one of the replicas");
  await withRedis(promoted, async (straight) => {
    const stored = new Set(await straight.keys("*"));
    expect([...ledger.present].filter((key) => !stored.has(key))).toEqual([]);
    expect([...ledger.absent].filter((key) => stored.has(key))).toEqual([]);
  });
  const [sample] = ledger.present;
  expect(await client.get(sample ?? "")).toBe("registered");
});
