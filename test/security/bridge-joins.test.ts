import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { PlayerBridge } from "../support/peers/player-bridge.ts";
import { join, type PlayerPeer } from "../support/peers/player-peer.ts";
import { type EdgeSocket, ScriptedEdge } from "../support/peers/scripted-edge.ts";
import { until } from "../support/until.ts";

/** Sessions from here on are none. */
const BOGUS = 1_000_000;

/** What is told late is told after the test. */
const LATE = { PLAYER_FAILED_JOIN_DELAY_MS: "60000" };

let edge: ScriptedEdge;
let bridge: PlayerBridge;
let asked: number;
let mostAtOnce: number;
beforeEach(async () => {
  edge = await ScriptedEdge.open();
  asked = 0;
  mostAtOnce = 0;
  let atOnce = 0;
  edge.onJoin = ({ token }, room) => {
    asked += 1;
    atOnce += 1;
    mostAtOnce = Math.max(mostAtOnce, atOnce);
    // Not in the same turn, as a real edge asks its store.
    setTimeout(() => {
      atOnce -= 1;
      answer(room, new DataView(token.buffer, token.byteOffset).getInt32(0, true) < BOGUS);
    }, 5);
  };
});
afterEach(async () => {
  await bridge.close();
  await edge.close();
});

function answer(room: EdgeSocket, isValid: boolean): void {
  if (isValid) room.letIn();
  else room.send({ kind: "closed", code: ClosedCode.SessionInvalid, message: "unknown" });
}

async function open(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  bridge = await PlayerBridge.open(edge.url, variables);
}

async function players(count: number, firstSessid: number, localAddress?: string): Promise<PlayerPeer[]> {
  const peers = await Promise.all(Array.from({ length: count }, () => bridge.connect(localAddress)));
  for (const [index, peer] of peers.entries()) peer.send(join(firstSessid + index));
  return peers;
}

/** Lets an address fail as often as it may. */
async function exhaust(failures: number): Promise<void> {
  const guessers = await players(failures, BOGUS);
  for (const peer of guessers) expect(await peer.lastPacket()).toMatchObject({ code: ClosedCode.SessionInvalid });
}

describe("a player with a valid session", () => {
  it("joins at once although 60 Joins of its address failed in this minute", async () => {
    await open(LATE);
    await exhaust(60);
    const [player] = await players(1, 1);
    await player?.received("joined");
  });

  it("joins beside an attacker: 80 players behind one address, and 60 bogus Joins in progress", async () => {
    await open({ ...LATE, PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "10" });
    await exhaust(10);
    const [bogus, valid] = await Promise.all([players(60, BOGUS), players(80, 1)]);
    for (const player of valid) await player.received("joined");
    // All of them were asked, and who failed waits, still connected.
    await until(() => asked === 10 + 60 + 80);
    expect(bogus.filter(({ ended }) => ended)).toEqual([]);
    expect(bogus.flatMap(({ packets }) => packets)).toEqual([]);
    expect(mostAtOnce).toBeLessThanOrEqual(32);
    expect(await bridge.metric('refusals_total{code="failed_joins"}')).toBeUndefined();
  });

  it("joins where an attacker leaves before the response, which does not avoid the limit", async () => {
    await open({ ...LATE, PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "10" });
    const answerJoin = edge.onJoin;
    edge.onJoin = undefined;
    const leaving = await players(10, BOGUS);
    await until(() => edge.sockets.filter(({ packets }) => packets.length > 0).length === 10);
    for (const peer of leaving) peer.close();
    await until(async () => (await bridge.metric("connections")) === 0);
    edge.onJoin = answerJoin;
    const [guesser] = await players(1, BOGUS);
    await until(async () => (await bridge.metric('joins_total{outcome="SessionInvalid"}')) === 1);
    const [player] = await players(1, 1);
    await player?.received("joined");
    expect(guesser?.packets).toEqual([]);
    expect(guesser?.ended).toBe(false);
  });

  it("does not make its address suspect by leaving a slow edge", async () => {
    await open({ ...LATE, PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "10", PLAYER_EDGE_DEADLINE_MS: "2000" });
    const answerJoin = edge.onJoin;
    edge.onJoin = undefined;
    const crowd = await players(20, 1);
    await until(() => edge.sockets.filter(({ packets }) => packets.length > 0).length === 20);
    // Whoever leaves in the first half of the deadline counts as failed.
    await pause(1_050);
    for (const peer of crowd) peer.close();
    await until(async () => (await bridge.metric("connections")) === 0);
    edge.onJoin = answerJoin;
    const [expired] = await players(1, BOGUS);
    // An address that is suspect would be told 60 s later.
    expect(await expired?.lastPacket()).toMatchObject({ code: ClosedCode.SessionInvalid });
  });

  it("loses nothing that it sent behind its waiting Join", async () => {
    await open({ ...LATE, PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "1", PLAYER_MAX_ASKED_JOINS_PER_ADDRESS: "1" });
    await exhaust(1);
    edge.upgrade = "hang";
    const [guesser] = await players(1, BOGUS);
    await until(() => edge.upgradeRequests === 2);
    edge.upgrade = "accept";
    const player = await bridge.connect();
    player.send(join(1), { kind: "publish", seq: 1, to: 0, body: Buffer.from("one") });
    player.send({ kind: "publish", seq: 2, to: 0, body: Buffer.from("two") });
    await until(async () => (await bridge.metric("joins_waiting")) === 1);
    guesser?.close();
    await player.received("joined");
    await until(() => edge.sockets.at(-1)?.packets.length === 3);
    expect(edge.sockets.at(-1)?.packets.map(({ kind }) => kind)).toEqual(["join", "publish", "publish"]);
  });
});

describe("a player whose Join fails", () => {
  it("is told late beyond the limit of its address, unlike players of other addresses", async () => {
    await open({ PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "2", PLAYER_FAILED_JOIN_DELAY_MS: "400" });
    await exhaust(2);
    const broken = await bridge.connect();
    const startMs = performance.now();
    broken.send({ kind: "leave" });
    const [late] = await players(1, BOGUS);
    const [elsewhere] = await players(1, BOGUS, "127.0.0.2");
    expect(await elsewhere?.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.SessionInvalid });
    expect(await late?.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.SessionInvalid });
    expect(await broken.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.ProtocolError });
    expect(performance.now() - startMs).toBeGreaterThan(400);
    expect(await bridge.metric('joins_total{outcome="SessionInvalid"}')).toBe(4);
  });

  it("is told at once when the bridge drains", async () => {
    await open({ ...LATE, PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "1" });
    await exhaust(1);
    const [held] = await players(1, BOGUS);
    await until(async () => (await bridge.metric('joins_total{outcome="SessionInvalid"}')) === 2);
    await bridge.bridge.drain();
    expect(await held?.lastPacket()).toMatchObject({ kind: "closed", code: ClosedCode.SessionInvalid });
  });

  it("gives up its place to a player when all places of the address are held", async () => {
    const few = { PLAYER_MAX_CONNECTIONS_PER_ADDRESS: "20", PLAYER_MAX_FAILED_JOINS_PER_MINUTE: "5" };
    await open({ ...LATE, ...few });
    await exhaust(5);
    await players(20, BOGUS);
    await until(() => asked === 25);
    for (let sessid = 1; sessid <= 10; sessid++) {
      const [player] = await players(1, sessid);
      await player?.received("joined");
    }
    expect(await bridge.metric("connections")).toBe(20);
  });
});
