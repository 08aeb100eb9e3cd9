import { afterEach, beforeEach, expect, it } from "vitest";
import { Connector } from "../../client/connector.ts";
import { ServiceClient } from "../../client/service-client.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { RedisRest } from "../../redis-rest/server.ts";
import { type Bridge, startBridge } from "../../tcp-bridge/bridge.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { AcknowledgedWrites } from "../support/histories/acknowledged-writes.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisWithSentinels, startRedisWithSentinels } from "../support/redis/redis-sentinels.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

/** The bridge's deadline. */
const DEADLINE_MS = 2_000;
/** What a small, shared machine may add to an answer; a call that hangs takes as long as the failover. */
const SLACK_MS = 3_000;
const CALLERS = 8;
const WRITES = 500;
const FAILOVER_MS = 90_000;

let redis: RedisWithSentinels;
let rest: RedisRest;
let edge: Edge;
let bridge: Bridge;

beforeEach(async () => {
  redis = await startRedisWithSentinels({ replicas: 2, sentinels: 3 });
  rest = await startTestRedisRest({ ...redis.env, WRITE_REPLICAS: "1" });
  const variables = {
    API_KEYS: "key",
    SESSION_STORE: "redis",
    // One user registers them all.
    MAX_SESSIONS_PER_USER: "0",
    UPSTASH_REDIS_REST_URL: rest.url,
    UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
  };
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
  const ports = { BRIDGE_PORT: "0", METRICS_PORT: "0", LOG_LEVEL: "silent" };
  bridge = await startBridge(parseBridgeConfig({ EDGE_URL: edge.url, API_KEY: "key", ...ports }));
});
afterEach(async () => {
  await bridge?.close();
  await edge?.close();
  await rest?.close();
  await redis?.stop();
});

it("no acknowledged register or delete is lost when the primary is killed under load", async () => {
  const { address, port } = bridge.gameAddress;
  const client = await new Connector({ host: address, port }).connect((socket) => new ServiceClient(socket));
  const failures = new Set<Status>();
  const acknowledged = async (asked: Promise<{ status: Status }>) => {
    const { status } = await asked;
    if (status === Status.Ok) return;
    failures.add(status);
    throw new Error(`status ${status}`);
  };
  // A delete that was unavailable may have happened: it is not asked again, so NotFound is never an answer to one.
  const load = new AcknowledgedWrites(
    {
      register: (key) =>
        acknowledged(client.request({ kind: "register", sessid: sessidOf(key), user: "kim", ip: null })),
      remove: (key) => acknowledged(client.request({ kind: "delete", sessid: sessidOf(key), user: "kim" })),
    },
    CALLERS,
  );
  await until(() => load.acknowledged >= WRITES);
  const { port: oldPort } = redis.primary;
  redis.primary.signal("SIGKILL");
  await until(() => load.failed > 0);
  await until(async () => (await redis.primaryPort()) !== oldPort, FAILOVER_MS);
  const before = load.acknowledged;
  await until(() => load.acknowledged >= before + WRITES, FAILOVER_MS);
  const { present, absent, slowestMs } = await load.stop();

  expect(failures).toEqual(new Set([Status.Unavailable]));
  expect(slowestMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
  const verdict = async (key: string) => (await client.request({ kind: "check", sessid: sessidOf(key) })).status;
  expect(new Set(await Promise.all([...present].map(verdict)))).toEqual(new Set([Status.Ok]));
  expect(new Set(await Promise.all([...absent].map(verdict)))).toEqual(new Set([Status.NotFound]));
});

/** `<caller>:<turn>` as one number. */
function sessidOf(key: string): number {
  const [caller = 0, turn = 0] = key.split(":").map(Number);
  return (caller + 1) * 10_000_000 + turn + 1;
}
