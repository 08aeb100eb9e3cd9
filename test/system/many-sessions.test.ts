import { Redis } from "ioredis";
import { describe, expect, test } from "vitest";
import type { ServiceRequest } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { GamePeer } from "../support/peers/game-peer.ts";
import { type RunningStack, STORES, startStackOn } from "../support/processes/running-stack.ts";

const SESSIONS = 10_000;
const USERS = 6_000;
const CONNECTIONS = 50;
const CHECKERS = 10;
/** So many of the sessions are checked by each checker, and again when all are there. */
const CHECKS = 300;

const sessids = Array.from({ length: SESSIONS }, (_, index) => index + 1);
const userOf = (sessid: number) => `player-${sessid % USERS}`;

describe.each(STORES)("10,000 sessions of 6,000 users on the %s store", (store) => {
  test("are counted exactly while others check, and leave nothing behind", async () => {
    const stack = await startStackOn(store);
    try {
      const peers = await connectMany(stack, CONNECTIONS);
      const checkers = await connectMany(stack, CHECKERS);
      const checked = checkers.map((peer) => askInTurn(peer, sessids.slice(0, CHECKS).map(check)));
      const registered = await Promise.all(peers.map((peer, index) => askInTurn(peer, shareOf(index).map(register))));
      expect(registered.flat()).toEqual(Array(SESSIONS).fill(Status.Ok));
      for (const status of (await Promise.all(checked)).flat()) expect([Status.Ok, Status.NotFound]).toContain(status);
      expect(await count(peers)).toEqual({ sessions: SESSIONS, users: USERS });
      expect(await askInTurn(peers[0], sessids.slice(-CHECKS).map(check))).toEqual(Array(CHECKS).fill(Status.Ok));
      await expectShortLives(stack);

      const deleted = await Promise.all(peers.map((peer, index) => askInTurn(peer, shareOf(index).map(remove))));
      expect(deleted.flat()).toEqual(Array(SESSIONS).fill(Status.Ok));
      expect(await count(peers)).toEqual({ sessions: 0, users: 0 });
      await expectNoKey(stack);
      for (const peer of [...peers, ...checkers]) peer.close();
    } finally {
      await stack.close();
    }
  });
});

const check = (sessid: number): ServiceRequest => ({ kind: "check", sessid });
const register = (sessid: number): ServiceRequest => ({
  kind: "register",
  sessid,
  user: userOf(sessid),
  ip: "10.0.0.1",
});
const remove = (sessid: number): ServiceRequest => ({ kind: "delete", sessid, user: userOf(sessid) });
const shareOf = (index: number) => sessids.filter((sessid) => sessid % CONNECTIONS === index);

function connectMany({ gameAddress }: RunningStack, howMany: number): Promise<GamePeer[]> {
  const address = { address: gameAddress.host, port: gameAddress.port, family: "IPv4" };
  return Promise.all(Array.from({ length: howMany }, () => GamePeer.connect(address)));
}

/**
 * Sends all requests at once over one connection and returns their statuses. Requests that are Unavailable, because the machine
 * is busy, are sent again, as a game server would.
 */
async function askInTurn(peer: GamePeer | undefined, requests: readonly ServiceRequest[]): Promise<number[]> {
  const statuses = await askOnce(peer, requests);
  const unavailable = requests.filter((_, index) => statuses[index] === Status.Unavailable);
  if (unavailable.length === 0) return statuses;
  const repeated = await askInTurn(peer, unavailable);
  return statuses.map((status, index) => {
    if (status !== Status.Unavailable) return status;
    const later = repeated.shift() ?? status;
    // The delete that timed out had been executed.
    return requests[index]?.kind === "delete" && later === Status.NotFound ? Status.Ok : later;
  });
}

async function askOnce(peer: GamePeer | undefined, requests: readonly ServiceRequest[]): Promise<number[]> {
  if (peer === undefined) throw new Error("no connection");
  const before = peer.responses.length;
  peer.send(...requests);
  const responses = (await peer.received(before + requests.length)).slice(before);
  return responses.map(({ status }) => status);
}

async function count([peer]: GamePeer[]): Promise<{ sessions: number; users: number }> {
  if (peer === undefined) throw new Error("no connection");
  await askInTurn(peer, [{ kind: "count" }]);
  const answer = peer.responses.at(-1);
  if (answer?.kind !== "count") throw new Error(`the response to a count is ${answer?.kind}`);
  return { sessions: answer.sessions, users: answer.users };
}

/** The keys without an expiry: what the log must still tell of, and where hubs stand. */
const LASTING_KEYS = ["artoria:leases", "artoria:log", "artoria:owners", "artoria:sessions"];

/** Nothing else in Redis lives longer than the idle lifetime of 1800 s. */
async function expectShortLives({ redis }: RunningStack): Promise<void> {
  if (redis === undefined) return;
  const client = new Redis(redis.url);
  const keys = (await client.keys("*")).filter((key) => !LASTING_KEYS.includes(key));
  const pipeline = client.pipeline();
  for (const key of keys) pipeline.pttl(key);
  const lives = (await pipeline.exec())?.map(([, ttl]) => Number(ttl)) ?? [];
  client.disconnect();
  // And the index of users.
  expect(lives.length).toBe(SESSIONS + USERS + 1);
  expect(Math.min(...lives)).toBeGreaterThan(0);
  expect(Math.max(...lives)).toBeLessThanOrEqual(1_800_000);
}

/** Nothing of a session but its events is left. */
async function expectNoKey({ redis }: RunningStack): Promise<void> {
  if (redis === undefined) return;
  const client = new Redis(redis.url);
  const keys = await client.keys("*");
  client.disconnect();
  expect(keys.filter((key) => key !== "artoria:log" && key !== "artoria:leases")).toEqual([]);
}
