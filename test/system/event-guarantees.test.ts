import { afterEach, describe, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import type { SessionEvent } from "../../worker/session-store/session-log.ts";
import { StreamListener } from "../support/peers/stream-listener.ts";
import { killWorkerd } from "../support/processes/workerd.ts";
import { startRedisReplication, withRedis } from "../support/redis/redis-replicas.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { startRedisWithSentinels } from "../support/redis/redis-sentinels.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { RespServer, respArray, respBulk } from "../support/redis/resp-server.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
const FAILOVER_MS = 90_000;
/** Sessions that are ended before a failover, and after it. */
const WRITES = 100;

/** What a test has started, the newest last. */
const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function startRest(environment: Readonly<Record<string, string>>): Promise<RedisRest> {
  const rest = await startTestRedisRest(environment);
  ends.push(() => rest.close());
  return rest;
}

async function startTestEdge(rest: RedisRest): Promise<Edge> {
  const variables = {
    API_KEYS: API_KEY,
    SESSION_STORE: "redis",
    MAX_SESSIONS_PER_USER: "0",
    UPSTASH_REDIS_REST_URL: rest.url,
    UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
  };
  const edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
  ends.push(() => edge.close());
  return edge;
}

async function listen(edgeUrl: () => string): Promise<StreamListener> {
  const listener = await StreamListener.open(edgeUrl, API_KEY, "?kinds=ended");
  ends.push(() => listener.close());
  return listener;
}

/** Registers a session and ends it; the status of the end, undefined if it was not answered. */
async function beginAndEnd({ url }: Edge, sessid: number): Promise<number | undefined> {
  const headers = { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" };
  try {
    await fetch(`${url}/v1/sessions`, { method: "POST", headers, body: JSON.stringify({ user: "kim", sessid }) });
    return (await fetch(`${url}/v1/sessions/${sessid}`, { method: "DELETE", headers })).status;
  } catch {
    return undefined;
  }
}

/** The same, asked again while a busy machine's store does not respond in time: each session ends once. */
async function surelyBeginAndEnd({ url }: Edge, sessid: number): Promise<void> {
  const headers = { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" };
  const register = { method: "POST", headers, body: JSON.stringify({ user: "kim", sessid }) };
  await until(async () => (await fetch(`${url}/v1/sessions`, register)).ok);
  await until(async () =>
    [204, 404].includes((await fetch(`${url}/v1/sessions/${sessid}`, { method: "DELETE", headers })).status),
  );
}

const sessidsOf = (events: readonly SessionEvent[]) => events.map(({ sessid }) => sessid);
const numbers = (first: number, count: number) => Array.from({ length: count }, (_, index) => first + index);

describe("there is no silent gap:", () => {
  test("a listener at one worker is told of what another worker on the same Redis has ended, in order", async () => {
    const redis = await startRedisServer();
    ends.push(() => redis.stop());
    const rest = await startRest({ REDIS_URL: redis.url });
    const [here, there] = await Promise.all([startTestEdge(rest), startTestEdge(rest)]);
    const listener = await listen(() => here.url);
    for (const sessid of numbers(1, 20)) await surelyBeginAndEnd(sessid % 2 === 0 ? here : there, sessid);
    await until(() => listener.events.length >= 20);
    expect(sessidsOf(listener.events)).toEqual(numbers(1, 20));
  });

  test("a listener whose worker is killed and started again is told what happened meanwhile, once", async () => {
    const redis = await startRedisServer();
    ends.push(() => redis.stop());
    const rest = await startRest({ REDIS_URL: redis.url });
    const [first, there] = await Promise.all([startTestEdge(rest), startTestEdge(rest)]);
    let here = first;
    const listener = await listen(() => here.url);
    await surelyBeginAndEnd(here, 1);
    await until(() => listener.events.length === 1);
    await killWorkerd(here);
    for (const sessid of numbers(2, 20)) await surelyBeginAndEnd(there, sessid);
    here = await startTestEdge(rest);
    await until(() => listener.events.length >= 21);
    await surelyBeginAndEnd(here, 22);
    await until(() => listener.events.length >= 22);
    expect(sessidsOf(listener.events)).toEqual(numbers(1, 22));
    expect(listener.resets).toEqual([]);
  });

  test("a listener is told nothing while Redis is down, no reset either, and everything when it is back", async () => {
    const redis = await startRedisServer();
    ends.push(() => redis.stop());
    const edge = await startTestEdge(await startRest({ REDIS_URL: redis.url }));
    const listener = await listen(() => edge.url);
    await surelyBeginAndEnd(edge, 1);
    await until(() => listener.events.length === 1);
    redis.signal("SIGSTOP");
    const unanswered = await Promise.all(numbers(2, 5).map((sessid) => beginAndEnd(edge, sessid)));
    expect(new Set(unanswered)).toEqual(new Set([503]));
    redis.signal("SIGCONT");
    await until(async () => (await beginAndEnd(edge, 100)) === 204);
    await until(() => sessidsOf(listener.events).includes(100));
    expect([listener.resets, listener.connections]).toEqual([[], 1]);
    // What was not answered may have happened; nothing is told twice.
    expect(new Set(listener.events.map(({ position }) => position)).size).toBe(listener.events.length);
  });

  test("a failover that loses nothing is a pause: the listener is told every answered end, once", async () => {
    const redis = await startRedisWithSentinels({ replicas: 2, sentinels: 3 });
    ends.push(() => redis.stop());
    const edge = await startTestEdge(await startRest({ ...redis.env, WRITE_REPLICAS: "1" }));
    const listener = await listen(() => edge.url);
    const answered: number[] = [];
    let next = 1;
    const endSome = async (count: number) => {
      const wanted = answered.length + count;
      await until(async () => {
        const sessid = next++;
        if ((await beginAndEnd(edge, sessid)) === 204) answered.push(sessid);
        return answered.length >= wanted;
      }, FAILOVER_MS);
    };
    await endSome(WRITES);
    const { port } = redis.primary;
    redis.primary.signal("SIGKILL");
    await endSome(WRITES);
    expect(await redis.primaryPort()).not.toBe(port);
    const last = answered.at(-1) ?? 0;
    await until(() => sessidsOf(listener.events).includes(last));
    const told = sessidsOf(listener.events);
    expect(answered.filter((sessid) => !told.includes(sessid))).toEqual([]);
    expect(new Set(told).size).toBe(told.length);
    expect(listener.resets).toEqual([]);
  });

  test("a failover that loses what a listener has seen is told as a reset, after which it is told all that follows", async () => {
    // The replica's history ends before the primary's, as if the primary had died before it could send the rest.
    const { primary, replicas, stop } = await startRedisReplication(1);
    ends.push(stop);
    const [replica] = replicas;
    if (replica === undefined) throw new Error("one was started");
    let named = primary;
    const sentinel = await RespServer.listen(([name, what]) => {
      if (name !== "SENTINEL") return "+OK\r\n";
      const isAddress = what?.toUpperCase() === "GET-MASTER-ADDR-BY-NAME";
      return respArray(isAddress ? [named.host, String(named.port)].map(respBulk) : []);
    });
    ends.push(() => sentinel.close());
    const edge = await startTestEdge(
      await startRest({ REDIS_SENTINELS: `127.0.0.1:${sentinel.port}`, REDIS_MASTER: "sessions" }),
    );
    const listener = await listen(() => edge.url);
    await surelyBeginAndEnd(edge, 1);
    await until(() => listener.events.length === 1);
    await withRedis(primary, (redis) => redis.wait(1, 0));
    await withRedis(replica, (redis) => redis.call("REPLICAOF", "NO", "ONE"));
    for (const sessid of [2, 3]) await surelyBeginAndEnd(edge, sessid);
    await until(() => listener.events.length === 3);

    named = replica;
    primary.signal("SIGKILL");
    await until(() => listener.resets.length > 0, FAILOVER_MS);
    await until(async () => (await beginAndEnd(edge, 4)) === 204);
    await until(() => listener.events.length === 4);
    expect(sessidsOf(listener.events)).toEqual([1, 2, 3, 4]);
    expect(listener.resets).toEqual([{ after: 3, position: expect.any(String) }]);
  });
});
