import { EventEmitter, once } from "node:events";
import { beforeEach, describe, expect, test } from "vitest";
import { PrimaryLease } from "../../../redis-rest/redis/primary-lease.ts";
import type { BatchOutcome, RunBatch } from "../../../redis-rest/redis/redis-connection.ts";
import type { ReplicationProof } from "../../../redis-rest/redis/replicated-writer.ts";
import { UnconfirmedWrites } from "../../../redis-rest/redis/replicated-writer.ts";

const LEASE_MS = 1_000;
const FOUND: BatchOutcome = { kind: "replies", replies: ["found"] };
const LOST: BatchOutcome = { kind: "unavailable", message: "ERR lost; try again" };

let nowMs: number;
let server: string;
let proofs: { finish: (proof: ReplicationProof | undefined) => void }[];
let unconfirmed: UnconfirmedWrites;
let lastProof: ReplicationProof | undefined;
let read: RunBatch;

beforeEach(() => {
  nowMs = 0;
  server = "a";
  proofs = [];
  unconfirmed = new UnconfirmedWrites();
  lastProof = proofOf("a");
  const writer = {
    unconfirmed,
    get lastProof() {
      return lastProof;
    },
    run: () =>
      new Promise<BatchOutcome>((resolve) => {
        const finish = (proof: ReplicationProof | undefined) => {
          lastProof = proof;
          resolve(proof === undefined ? LOST : FOUND);
        };
        proofs.push({ finish });
      }),
  };
  read = new PrimaryLease({ writer, serverId: () => server, leaseMs: LEASE_MS }).guard(() => Promise.resolve(FOUND));
});

/** Sent now. */
function proofOf(provenServer: string): ReplicationProof {
  const sentMs = nowMs;
  return { server: provenServer, ageMs: () => nowMs - sentMs };
}

/** Whether the read returns without another proof. */
async function returnsAtOnce(outcome: Promise<BatchOutcome>): Promise<boolean> {
  return (await Promise.race([outcome, new Promise((resolve) => setImmediate(resolve, "later"))])) === FOUND;
}

const GET = [{ name: "GET", args: ["key"] }];

describe("of the lease", () => {
  test("a read returns at once with a young proof, which is not renewed", async () => {
    nowMs = 249;
    expect(await returnsAtOnce(read(GET))).toBe(true);
    expect(proofs).toHaveLength(0);
  });

  test("a read returns at once with an older proof, which is renewed once for all reads", async () => {
    nowMs = LEASE_MS;
    expect(await returnsAtOnce(read(GET))).toBe(true);
    expect(await returnsAtOnce(read(GET))).toBe(true);
    expect(proofs).toHaveLength(1);
  });

  test("a read waits for a new proof if the last one is too old", async () => {
    nowMs = LEASE_MS + 1;
    const outcome = read(GET);
    expect(await returnsAtOnce(outcome)).toBe(false);
    proofs[0]?.finish(proofOf("a"));
    expect(await outcome).toBe(FOUND);
  });

  test("a read waits for a new proof if the last one becomes too old during the read", async () => {
    const reply = new EventEmitter();
    const writer = { unconfirmed, lastProof, run: () => Promise.resolve(LOST) };
    const lease = new PrimaryLease({ writer, serverId: () => server, leaseMs: LEASE_MS });
    const outcome = lease.guard(() => once(reply, "come").then(() => FOUND))(GET);
    nowMs = LEASE_MS + 1;
    reply.emit("come");
    expect(await outcome).toEqual({ kind: "unavailable", message: expect.stringMatching(/^NOREPLICAS /) });
  });

  test("a read is unavailable if the proof that it waits for fails", async () => {
    lastProof = undefined;
    const outcome = read(GET);
    expect(await returnsAtOnce(outcome)).toBe(false);
    proofs[0]?.finish(undefined);
    expect(await outcome).toEqual({ kind: "unavailable", message: expect.stringMatching(/^NOREPLICAS /) });
  });

  test("a read is unavailable if the proof is of another server than the one that was read", async () => {
    server = "b";
    const outcome = read(GET);
    expect(await returnsAtOnce(outcome)).toBe(false);
    proofs[0]?.finish(proofOf("a"));
    expect(await outcome).toEqual({ kind: "unavailable", message: expect.stringMatching(/^NOREPLICAS /) });
  });

  test("a read waits for an unacknowledged write that it may show", async () => {
    const write = [{ name: "SET", args: ["key", "value"] }];
    unconfirmed.add(write);
    expect(await returnsAtOnce(read([{ name: "GET", args: ["other"] }]))).toBe(true);
    expect(await returnsAtOnce(read(GET))).toBe(false);
    unconfirmed.remove(write);
    expect(await returnsAtOnce(read(GET))).toBe(true);
  });
});

describe("UnconfirmedWrites", () => {
  test.each<[string, [string, ...string[]], [string, ...string[]], boolean]>([
    ["a script by the keys that it declares", ["EVALSHA", "sha", "1", "key", "7"], ["GET", "key"], true],
    ["a script not by its arguments", ["EVALSHA", "sha", "1", "key", "7"], ["GET", "7"], false],
    ["two scripts not by being the same", ["EVALSHA", "sha", "1", "one"], ["EVALSHA_RO", "sha", "1", "two"], false],
    ["a count of all keys", ["SET", "key", "1"], ["DBSIZE"], true],
    ["any key after all were removed", ["FLUSHDB"], ["GET", "key"], true],
    ["the one of many that overlaps", ["SET", "c", "1"], ["MGET", "a", "b", "c"], true],
  ])("finds %s", (_, [written, ...writeArgs], [asked, ...readArgs], expected) => {
    unconfirmed.add([{ name: written, args: writeArgs }]);
    expect(unconfirmed.mayShowIn([{ name: asked, args: readArgs }])).toBe(expected);
    unconfirmed.remove([{ name: written, args: writeArgs }]);
    expect(unconfirmed.mayShowIn([{ name: asked, args: readArgs }])).toBe(false);
  });
});
