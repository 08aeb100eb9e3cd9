import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis as Upstash } from "@upstash/redis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import {
  type RedisReplication,
  startRedisReplication,
  untilInStep,
  withRedis,
} from "../support/redis/redis-replicas.ts";
import { REDIS_REST_TOKEN, restCall, restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import type { RedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";

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
afterAll(async () => {
  await rest?.close();
  await replication?.stop();
});

async function readsOfReplica(): Promise<number> {
  const { text } = await restCall(rest, "/metrics");
  return Number(/^redis_rest_replica_reads_total\{result="replica"\} (\d+)/m.exec(text)?.[1] ?? 0);
}

/** Resolves when the replica follows its primary and is read. */
async function rejoin(): Promise<void> {
  await withRedis(replica, (redis) => redis.replicaof(replication.primary.host, replication.primary.port));
  await untilInStep(replication.primary, 1);
  await restPost(rest, "/", ["SET", "k", "before"]);
  await until(async () => {
    const before = await readsOfReplica();
    await restPost(rest, "/", ["GET", "k"]);
    return (await readsOfReplica()) > before;
  });
}

/** Passes requests on, and holds back the responses to reads of "race" until `release` is called. */
async function startHoldingProxy() {
  let held: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { "upstash-sync-token": shown } = request.headers;
    const headers = typeof shown === "string" ? { "Upstash-Sync-Token": shown } : {};
    const answer = await restCall(rest, request.url ?? "/", { method: "POST", body, headers });
    const send = () => {
      response.writeHead(answer.status, { "Upstash-Sync-Token": answer.headers.get("upstash-sync-token") ?? "" });
      response.end(answer.text);
    };
    if (body.includes('"race"')) held.push(send);
    else send();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Resolves when a response was held, and has been sent. */
    async release() {
      await until(() => held.length > 0);
      for (const send of held) send();
      held = [];
    },
    close: () => server.close(),
  };
}

test("a client whose read is answered after its concurrent write reads its write from a replica that lags", async () => {
  const proxy = await startHoldingProxy();
  const redis = new Upstash({
    url: proxy.url,
    token: REDIS_REST_TOKEN,
    enableAutoPipelining: false,
    responseEncoding: false,
  });
  for (let round = 0; round < 6; round++) {
    await rejoin();
    await withRedis(replica, (straight) => straight.replicaof("127.0.0.1", 1));
    const read = redis.get("race");
    await redis.set("k", `round ${round}`);
    await proxy.release();
    await read;
    expect(await redis.get("k")).toBe(`round ${round}`);
  }
  proxy.close();
});

test("a client that shows a token reads from the replica again as soon as that has the newest write", async () => {
  await rejoin();
  const { headers } = await restPost(rest, "/", ["SET", "k", "new"]);
  const shown = { "Upstash-Sync-Token": headers.get("upstash-sync-token") ?? "" };
  await until(async () => {
    const before = await readsOfReplica();
    expect((await restPost(rest, "/", ["GET", "k"], shown)).json).toEqual({ result: "new" });
    return (await readsOfReplica()) > before;
  });
});

test("every write has a token of its own, larger than any before, and no answer has a smaller one", async () => {
  async function tokenOf(command: readonly string[], shown?: string): Promise<number> {
    const headers = shown === undefined ? {} : { "Upstash-Sync-Token": shown };
    const token = (await restPost(rest, "/", command, headers)).headers.get("upstash-sync-token") ?? "";
    expect(token).toMatch(/^\d+$/);
    return Number(token);
  }
  let newest = await tokenOf(["SET", "k", "v"]);
  for (const shown of [undefined, "", "0", "nonsense", "1".repeat(40), String(newest)]) {
    for (const command of [["GET", "k"], ["PING"], ["SET", "k", "v"]]) {
      const token = await tokenOf(command, shown);
      if (command[0] === "SET") expect(token).toBeGreaterThan(newest);
      else expect(token).toBeGreaterThanOrEqual(newest);
      newest = token;
    }
  }
  const atOnce = await Promise.all(Array.from({ length: 200 }, () => tokenOf(["INCR", "n"])));
  expect(new Set(atOnce).size).toBe(200);
  expect(await tokenOf(["GET", "n"], "0")).toBeGreaterThanOrEqual(Math.max(...atOnce));
  const ahead = newest + 60_000_000;
  expect(await tokenOf(["GET", "n"], String(ahead))).toBe(ahead);
  expect(await tokenOf(["SET", "n", "1"], String(ahead))).toBeGreaterThan(ahead);
  expect(await tokenOf(["GET", "n"], "0")).toBeLessThan(ahead);
});
