import { describe, expect, it } from "vitest";
import { Status } from "../../../protocol/status-codes.ts";
import { countFailures, GameAddress, KnownLimits, KnownSessions } from "../../../tcp-bridge/game/game-access.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { requestBytes } from "../../support/peers/game-peer.ts";

const MINUTE_MS = 60_000;

function responses(...packets: readonly (readonly [type: number, status: Status])[]): Uint8Array {
  return Buffer.concat(packets.map(([type, status]) => new PacketBytes().u8(status).packet(type)));
}

const failed = responses([2, Status.NotFound]);
const passed = responses([2, Status.Ok]);

function makeAddress(maxFailuresPerMinute: number): GameAddress {
  return new GameAddress({ maxFailuresPerMinute, maxWrongKeysPerMinute: 1 });
}

it("countFailures counts NotFound, Denied and Conflict of checks, access checks, identifies, deletes and registers only", () => {
  const { NotFound, Denied, Conflict, Ok, Unavailable, Invalid } = Status;
  expect(countFailures(responses([2, NotFound], [12, Denied], [6, NotFound], [4, Conflict], [14, NotFound]))).toBe(5);
  expect(countFailures(responses([2, Ok], [2, Unavailable], [6, Invalid], [8, NotFound], [127, Denied]))).toBe(0);
  expect(countFailures(responses([10, Conflict], [19, Denied]))).toBe(0);
});

describe("GameAddress", () => {
  it("has one allowance for all connections, less the requests in flight", () => {
    const address = makeAddress(3);
    address.requested(2);
    expect(address.allowance(0)).toBe(1);
    address.responded(responses([2, Status.NotFound], [2, Status.Ok]), 2, 0);
    expect(address.allowance(0)).toBe(2);
    expect(address.isExhausted(0)).toBe(false);
    address.responded(responses([4, Status.Conflict], [6, Status.Denied]), 0, 0);
    expect(address.isExhausted(0)).toBe(true);
    expect(address.isExhausted(MINUTE_MS)).toBe(false);
  });

  it("resumes each waiting session once, after the next responses, and none that is disconnected", () => {
    const address = makeAddress(1);
    const resumed: string[] = [];
    const [first, gone] = [() => resumed.push("first"), () => resumed.push("gone")];
    address.connected();
    address.requested(1);
    address.wait(first);
    address.wait(gone);
    address.disconnected(gone);
    address.responded(passed, 1, 0);
    address.responded(passed, 0, 0);
    expect(resumed).toEqual(["first"]);
  });

  it("is not idle with a connection, a request in flight, or a failure in this minute", () => {
    const address = makeAddress(1);
    expect(address.isIdle(0)).toBe(true);
    address.connected();
    expect(address.isIdle(0)).toBe(false);
    address.requested(1);
    address.disconnected(() => {});
    expect(address.isIdle(0)).toBe(false);
    address.responded(failed, 1, 1_000_000);
    expect(address.isIdle(1_000_000 + MINUTE_MS - 1)).toBe(false);
    expect(address.isIdle(1_000_000 + MINUTE_MS)).toBe(true);
    address.wrongKeys.count(1, 2_000_000);
    expect(address.isIdle(2_000_000)).toBe(false);
  });
});

describe("KnownSessions", () => {
  const learn = (known: KnownSessions, ...sessids: readonly number[]): void =>
    known.learn(
      requestBytes(...sessids.map((sessid) => ({ kind: "check", sessid }) as const)),
      responses(...sessids.map(() => [2, Status.Ok] as const)),
    );

  it("learns from Ok alone, and looks at the responses that fit the requests", () => {
    const known = new KnownSessions(new KnownLimits(10));
    known.learn(
      requestBytes({ kind: "check", sessid: 1 }, { kind: "count" }, { kind: "delete", sessid: 2, user: "kim" }),
      Buffer.concat([responses([2, Status.NotFound]), new PacketBytes().u8(0).u32(3).u32(4).packet(8), passed]),
    );
    learn(known, 5);
    expect([1, 2, 3, 4, 5].filter((sessid) => known.has(sessid))).toEqual([5]);
  });

  it("know every session once a watched connection has more than it may", () => {
    const limits = new KnownLimits(2);
    const known = new KnownSessions(limits);
    known.watch(true);
    learn(known, 1, 2, 1, 2);
    expect(known.has(3)).toBe(false);
    expect(limits.sessions).toBe(2);
    learn(known, 4);
    expect(known.has(3)).toBe(true);
    expect(known.isLearning).toBe(false);
    expect(limits.sessions).toBe(0);
  });

  it("know every session once all watched connections together have more than they may", () => {
    const limits = new KnownLimits(2);
    const all = Array.from({ length: 21 }, () => new KnownSessions(limits));
    for (const known of all) {
      known.watch(true);
      learn(known, 1, 2);
    }
    expect(all.map((known) => known.has(3))).toEqual([...Array(20).fill(false), true]);
    all[0]?.close();
    expect(limits.sessions).toBe(38);
  });

  it("are remembered before a watch only while the connection has sent few requests", () => {
    const limits = new KnownLimits(1);
    const known = new KnownSessions(limits);
    learn(known, ...Array.from({ length: 1_000 }, (_, index) => index + 1));
    expect(known.has(1_001)).toBe(false);
    expect(limits.sessions).toBe(0);
    learn(known, 1);
    expect(known.has(1_001)).toBe(true);
    known.watch(true);
    expect(limits.sessions).toBe(0);
  });
});
