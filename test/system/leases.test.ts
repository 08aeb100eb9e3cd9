import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { encodeLeaseMessage } from "../../protocol/leases/lease-messages.ts";
import type { RedisRest } from "../../redis-rest/server.ts";
import { LeasePeer } from "../support/peers/lease-peer.ts";
import { REDIS_REST_TOKEN, restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";
/** For how long after a renewal a bridge may answer from memory: REVOCATION_BOUND_MS, less 5 %. */
const LEASE_MS = 950;

let redis: RedisServer;
let rest: RedisRest;
/** Two workers on one Redis, each with its own hub. */
let here: Edge;
let there: Edge;
const peers: LeasePeer[] = [];

beforeAll(async () => {
  redis = await startRedisServer();
  rest = await startTestRedisRest({ REDIS_URL: redis.url });
  [here, there] = await Promise.all([startTestEdge(), startTestEdge()]);
});

afterEach(() => {
  redis.signal("SIGCONT");
  for (const peer of peers.splice(0)) peer.close();
});

afterAll(async () => {
  await Promise.all([here, there].map((edge) => edge?.close()));
  await rest?.close();
  await redis?.stop();
});

function startTestEdge(): Promise<Edge> {
  const variables = {
    API_KEYS: API_KEY,
    SESSION_STORE: "redis",
    UPSTASH_REDIS_REST_URL: rest.url,
    UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
  };
  return startEdge({ host: "127.0.0.1", port: 0, variables });
}

async function bridgeOf(edge: Edge): Promise<LeasePeer> {
  const url = `${edge.url.replace("http", "ws")}/v1/leases`;
  const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${API_KEY}` } });
  socket.on("error", () => undefined);
  const peer = new LeasePeer(socket);
  peers.push(peer);
  await once(socket, "open");
  return peer;
}

/** A bridge with a lease, and when it sent the renewal. */
async function leasedBridgeOf(edge: Edge): Promise<{ readonly peer: LeasePeer; readonly sentMs: number }> {
  const peer = await bridgeOf(edge);
  return { peer, sentMs: await peer.lease() };
}

function ask(edge: Edge, method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(edge.url + path, {
    method,
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

async function register(edge: Edge, sessid: number): Promise<void> {
  expect((await ask(edge, "POST", "/v1/sessions", { user: "kim", sessid })).status).toBe(201);
}

/** Ends a session; resolves with when that was answered, epoch ms. */
async function end(edge: Edge, sessid: number): Promise<number> {
  expect((await ask(edge, "DELETE", `/v1/sessions/${sessid}`)).status).toBe(204);
  return Date.now();
}

describe("a delete, with two workers on one Redis,", () => {
  test("is answered at the bridge's worker as soon as the bridge has acked", async () => {
    await register(here, 1);
    const { peer } = await leasedBridgeOf(here);
    const answered = end(here, 1);
    const { number } = await peer.changeOf(1);
    const ackedMs = Date.now();
    peer.ack(number);
    expect(await answered).toBeGreaterThanOrEqual(ackedMs);
  });

  test("waits at the other worker until the bridge's lease has run out, and reaches the bridge", async () => {
    await register(there, 2);
    const { peer, sentMs } = await leasedBridgeOf(here);
    peer.acks = true;
    expect(await end(there, 2)).toBeGreaterThanOrEqual(sentMs + LEASE_MS);
    await peer.lease();
    expect(peer.all("changes").flatMap(({ sessids }) => sessids)).toContain(2);
  });

  test("waits for the leases of a worker that was killed until they have run out", async () => {
    await register(there, 3);
    const { peer, sentMs } = await leasedBridgeOf(here);
    peer.acks = true;
    await here.close();
    here = await startTestEdge();
    expect(await end(here, 3)).toBeGreaterThanOrEqual(sentMs + LEASE_MS);
    await peer.until(() => peer.closeCode !== undefined);
  });
});

test("while Redis is down, nothing is granted, the connection stays, and a lease follows when it is back", async () => {
  const { peer } = await leasedBridgeOf(here);
  redis.signal("SIGSTOP");
  // A read that was under way may still be granted.
  const before = peer.all("granted").length;
  let last = 0;
  const stoppedMs = Date.now();
  while (Date.now() < stoppedMs + 3 * LEASE_MS) {
    last = peer.renew();
    await Promise.race([peer.next(), new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  expect(peer.all("granted").length).toBeLessThanOrEqual(before + 1);
  expect(peer.closeCode).toBeUndefined();
  redis.signal("SIGCONT");
  await peer.lease();
  expect(peer.all("granted").at(-1)?.renewal).toBeGreaterThanOrEqual(last);
});

test("a flood of frames from one bridge does not take another's lease", async () => {
  const [flooder, other] = [await bridgeOf(here), await bridgeOf(here)];
  const renewals = Array.from({ length: 1000 }, (_, index) => encodeLeaseMessage({ kind: "renew", renewal: index }));
  for (let round = 0; round < 5; round++) {
    for (const renewal of renewals) flooder.send(renewal);
    await other.lease();
  }
  expect(other.closeCode).toBeUndefined();
});

describe("the hub asks Redis at most four times a second,", () => {
  test.each([1, 10, 100])("with %i bridges", async (count) => {
    const bridges = await Promise.all(Array.from({ length: count }, () => bridgeOf(here)));
    await bridges[0]?.lease();
    const before = await scriptCalls();
    const beganMs = performance.now();
    for (let round = 0; round < 6; round++) await Promise.all(bridges.map((peer) => peer.lease()));
    const seconds = (performance.now() - beganMs) / 1000;
    expect((await scriptCalls()) - before).toBeLessThanOrEqual(4 * seconds + 1);
  });

  test("and never without one", async () => {
    const { peer } = await leasedBridgeOf(here);
    peer.close();
    await peer.until(() => peer.closeCode !== undefined);
    // The last read may be under way.
    await register(here, 9);
    const before = await scriptCalls();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect((await scriptCalls()) - before).toBeLessThanOrEqual(1);
  });
});

/** How many scripts Redis has run so far. */
async function scriptCalls(): Promise<number> {
  const { json } = await restPost(rest, "/", ["INFO", "commandstats"]);
  const { result } = json as { result: string };
  return [...result.matchAll(/cmdstat_(?:eval|evalsha)(?:_ro)?:calls=(\d+)/g)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  );
}
