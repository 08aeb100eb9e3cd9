import { afterEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../protocol/session-request.ts";
import { makeToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { GamePeer } from "../support/peers/game-peer.ts";
import { gate } from "../support/peers/packet-edge.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { until } from "../support/until.ts";

const { Ok, NotFound, Conflict, TooMany } = Status;

/** It lives. */
const alive: ServiceRequest = { kind: "check", sessid: 1 };

let stack: TestBridge;
afterEach(() => stack.close());

async function open(variables: Readonly<Record<string, string>> = {}): Promise<void> {
  stack = await TestBridge.open(variables);
  stack.edge.sessions.users.set(1, "kim");
}

/** Checks of sessions that there are not. */
function guesses(count: number): ServiceRequest[] {
  return Array.from({ length: count }, (_, index) => ({ kind: "check", sessid: 1000 + index }));
}

async function statuses(peer: GamePeer, ...requests: readonly ServiceRequest[]): Promise<Status[]> {
  const before = peer.responses.length;
  peer.send(...requests);
  const answers = await peer.received(before + requests.length);
  return answers.slice(before).map(({ status }) => status);
}

function countOf(status: Status, all: readonly Status[]): number {
  return all.filter((each) => each === status).length;
}

describe("who guesses sessions", () => {
  it("is told no more than the address may fail, however often it connects", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "100" });
    const all: Status[] = [];
    for (let connection = 0; connection < 10; connection++) {
      const peer = await stack.connect();
      all.push(...(await statuses(peer, ...guesses(50))));
      peer.close();
    }
    expect(countOf(NotFound, all)).toBe(100);
    expect(countOf(TooMany, all)).toBe(400);
  });

  it("is told no more with all connections at once, nor by leaving before the answers come", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "100", BRIDGE_MAX_BATCHES_IN_FLIGHT: "16" });
    const peers = await Promise.all(Array.from({ length: 20 }, () => stack.connect()));
    const all = (await Promise.all(peers.map((peer) => statuses(peer, ...guesses(30))))).flat();
    expect(countOf(NotFound, all)).toBe(100);
    expect(countOf(TooMany, all)).toBe(500);
    await stack.close();

    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "100" });
    const { fault, open: answer } = gate();
    stack.edge.faults.push(fault);
    const leaving = await stack.connect();
    leaving.send(...guesses(100));
    await until(() => stack.edge.batches.length === 1);
    leaving.close();
    await until(async () => (await stack.metric("artoria_bridge_connections")) === 0);
    answer();
    await until(
      async () => (await stack.metric('artoria_bridge_packets_total{type="check",status="NotFound"}')) === 100,
    );
    expect(await statuses(await stack.connect(), alive)).toEqual([TooMany]);
  });

  it("is not told by tokens either: a wrong secret counts as a check does", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "3" });
    const peer = await stack.connect();
    const wrong: ServiceRequest = { kind: "identify", token: makeToken(1, new Uint8Array(16)) };
    expect(await statuses(peer, wrong, wrong, wrong, wrong, alive)).toEqual([
      ...[NotFound, NotFound, NotFound],
      ...[TooMany, TooMany],
    ]);
  });

  it("is not told by a register either: its Conflict counts, and it is refused like the others", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "3" });
    const peer = await stack.connect();
    const taken: ServiceRequest = { kind: "register", sessid: 1, ip: null, user: "lee" };
    const free: ServiceRequest = { kind: "register", sessid: 2, ip: null, user: "lee" };
    expect(await statuses(peer, taken, free, taken, taken, taken, free)).toEqual([
      ...[Conflict, Ok, Conflict, Conflict, TooMany, TooMany],
    ]);
    // What tells nothing of a session goes on.
    expect(await statuses(peer, { kind: "count" }, { kind: "issue", ip: null, user: "lee" })).toEqual([Ok, Ok]);
  });

  it("may be told 10,000 times in a minute", async () => {
    await open();
    const peer = await stack.connect();
    const all = await statuses(peer, ...guesses(10_100));
    expect(countOf(NotFound, all)).toBe(10_000);
    expect(countOf(TooMany, all)).toBe(100);
  });

  it("slows and closes nobody at other addresses, and nobody at its own", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "10" });
    const [guesser, neighbour, other] = [
      await stack.connect(),
      await stack.connect(),
      await stack.connect("127.0.0.2"),
    ];
    await statuses(guesser, ...guesses(10));
    for (let round = 0; round < 20; round++) {
      guesser.send(...guesses(500));
      expect(await statuses(other, alive)).toEqual([Ok]);
      expect(await statuses(neighbour, { kind: "count" })).toEqual([Ok]);
    }
    expect(await statuses(neighbour, alive)).toEqual([TooMany]);
    expect([guesser.ended, neighbour.ended, other.ended]).toEqual([false, false, false]);
  });
});

describe("a busy game server", () => {
  it("is refused nothing on its 50 connections while its players leave often", async () => {
    await open();
    const peers = await Promise.all(Array.from({ length: 50 }, () => stack.connect()));
    const load = [...Array.from({ length: 90 }, () => alive), ...guesses(10)];
    const all: Status[] = [];
    for (let round = 0; round < 5; round++) {
      all.push(...(await Promise.all(peers.map((peer) => statuses(peer, ...load)))).flat());
    }
    expect(countOf(Ok, all)).toBe(50 * 90 * 5);
    expect(countOf(NotFound, all)).toBe(50 * 10 * 5);
  });

  it("waits for what its other connections have in flight where that might be all it may fail, and is then answered", async () => {
    await open({ BRIDGE_MAX_FAILURES_PER_MINUTE: "5", BRIDGE_MAX_BATCHES_IN_FLIGHT: "4" });
    const { fault, open: answer } = gate();
    stack.edge.faults.push(fault);
    const first = await stack.connect();
    first.send(alive, alive, alive, alive, alive);
    await until(() => stack.edge.batches.length === 1);
    const others = await Promise.all(Array.from({ length: 10 }, () => stack.connect()));
    const answered = Promise.all(others.map((peer) => statuses(peer, alive, alive)));
    answer();
    expect((await answered).flat()).toEqual(Array(20).fill(Ok));
    expect(await first.received(5)).toHaveLength(5);
  });
});
