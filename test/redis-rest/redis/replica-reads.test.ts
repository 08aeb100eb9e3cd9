import { Redis as Upstash } from "@upstash/redis";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import {
  type RedisReplication,
  startRedisReplication,
  untilInStep,
  withRedis,
} from "../../support/redis/redis-replicas.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import type { RedisServer } from "../../support/redis/redis-server.ts";
import { until } from "../../support/until.ts";

let replication: RedisReplication;
let replica: RedisServer;
let rest: RedisRest;

beforeAll(async () => {
  replication = await startRedisReplication(1);
  const [first] = replication.replicas;
  if (first === undefined) throw new Error("a replica was started");
  replica = first;
  rest = await startTestRedisRest({ REDIS_URL: replication.primary.url, REPLICA_READS: "1" });
});
beforeEach(rejoin);
afterAll(async () => {
  await rest?.close();
  await replication?.stop();
});

async function metric(name: string): Promise<number> {
  const { text } = await restCall(rest, "/metrics");
  const line = text.split("\n").find((candidate) => candidate.startsWith(name));
  return Number(line?.slice(line.lastIndexOf(" ") + 1) ?? 0);
}

const fromReplica = 'redis_rest_replica_reads_total{result="replica"}';
const askedAgain = 'redis_rest_replica_reads_total{result="asked_again"}';

/** Makes the replica follow its primary, if it does not, and resolves when reads go to it. */
async function rejoin(): Promise<void> {
  await withRedis(replica, (redis) => redis.replicaof(replication.primary.host, replication.primary.port));
  await untilInStep(replication.primary, 1);
  await restPost(rest, "/", ["SET", "present", "1"]);
  await until(async () => {
    const before = await metric(fromReplica);
    await restPost(rest, "/", ["GET", "present"]);
    return (await metric(fromReplica)) > before;
  });
}

/** Commands of each kind that a server has executed since it started. */
function callsAt(server: RedisServer, command: string): Promise<number> {
  return withRedis(server, async (redis) => {
    const stats = await redis.info("commandstats");
    return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, "m").exec(stats)?.[1] ?? 0);
  });
}

test("requests with nothing but reads go to the replica, also scripts that only read", async () => {
  const before = await Promise.all([callsAt(replication.primary, "strlen"), callsAt(replica, "strlen")]);
  expect(
    (
      await restPost(rest, "/pipeline", [
        ["STRLEN", "present"],
        ["GET", "present"],
      ])
    ).json,
  ).toEqual([{ result: 1 }, { result: "1" }]);
  const script = "return redis.call('STRLEN', KEYS[1])";
  expect((await restPost(rest, "/", ["EVAL_RO", script, "1", "present"])).json).toEqual({ result: 1 });
  expect(await callsAt(replication.primary, "strlen")).toBe(before[0]);
  expect(await callsAt(replica, "strlen")).toBe(before[1] + 2);
});

test("a request with a write, a transaction and a cursor go to the primary", async () => {
  const before = await callsAt(replica, "strlen");
  await restPost(rest, "/pipeline", [
    ["SET", "present", "2"],
    ["STRLEN", "present"],
  ]);
  await restPost(rest, "/multi-exec", [["STRLEN", "present"]]);
  await restPost(rest, "/", ["EVAL", "return redis.call('STRLEN', KEYS[1])", "1", "present"]);
  expect(await callsAt(replica, "strlen")).toBe(before);
  const scansBefore = await callsAt(replica, "scan");
  await restPost(rest, "/", ["SCAN", "0"]);
  expect(await callsAt(replica, "scan")).toBe(scansBefore);
});

test("commands whose keys or scripts the replica lacks are asked again at the primary, and only those", async () => {
  // A script is not replicated; the key is removed behind the primary's back.
  const sha = String(await withRedis(replication.primary, (redis) => redis.script("LOAD", "return ARGV[1]")));
  await withRedis(replica, async (redis) => {
    await redis.config("SET", "replica-read-only", "no");
    await redis.set("present", "stale");
    await redis.del("only-primary");
  });
  await restPost(rest, "/", ["SET", "only-primary", "v"]);
  await until(() => withRedis(replica, async (redis) => (await redis.get("only-primary")) === "v"));
  await withRedis(replica, (redis) => redis.del("only-primary"));
  const before = await metric(askedAgain);
  const response = await restPost(rest, "/pipeline", [
    ["GET", "present"],
    ["GET", "only-primary"],
    ["MGET", "present", "only-primary"],
    ["EVALSHA_RO", sha, "0", "ran"],
    ["GET", "nowhere"],
  ]);
  expect(response.json).toEqual([
    { result: "stale" },
    { result: "v" },
    { result: ["1", "v"] },
    { result: "ran" },
    { result: null },
  ]);
  expect(await metric(askedAgain)).toBe(before + 1);
  await withRedis(replica, (redis) => redis.config("SET", "replica-read-only", "yes"));
});

test("a stopped replica is not read, and its lag grows in the metrics", async () => {
  replica.signal("SIGSTOP");
  await restPost(rest, "/", ["SET", "present", "new"]);
  const responses = await Promise.all(Array.from({ length: 10 }, () => restPost(rest, "/", ["GET", "present"])));
  expect(responses.map(({ status }) => status)).toEqual(Array(10).fill(200));
  await until(async () => (await metric("redis_rest_replica_lag_seconds")) > 1);
  expect((await restPost(rest, "/", ["GET", "present"])).json).toEqual({ result: "new" });
  replica.signal("SIGCONT");
  await until(async () => (await metric("redis_rest_replica_lag_seconds")) < 1);
});

test("a replica that has lost its primary is not read beyond the lag bound", async () => {
  await withRedis(replica, (redis) => redis.replicaof("127.0.0.1", 1));
  await restPost(rest, "/", ["SET", "present", "new"]);
  await until(async () => {
    const { json } = await restPost(rest, "/", ["GET", "present"]);
    return JSON.stringify(json) === '{"result":"new"}';
  });
});

test("a replica is not read beyond the lag bound while the primary does not report its position", async () => {
  replication.primary.signal("SIGSTOP");
  await until(async () => (await restPost(rest, "/", ["GET", "present"])).status === 503);
  expect(await withRedis(replica, (redis) => redis.get("present"))).toBe("1");
  replication.primary.signal("SIGCONT");
  await until(async () => (await restPost(rest, "/", ["GET", "present"])).status === 200);
});

test("a client that shows its sync token reads its own writes, also while nobody has noticed that the replica lags", async () => {
  const redis = new Upstash({ url: rest.url, token: REDIS_REST_TOKEN });
  for (let round = 0; round < 4; round++) {
    await rejoin();
    await withRedis(replica, (straight) => straight.replicaof("127.0.0.1", 1));
    await redis.set("present", `round ${round}`);
    expect(await redis.get("present")).toBe(`round ${round}`);
  }
});
