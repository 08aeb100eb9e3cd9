import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import { RedisStore } from "../../../../worker/session-store/redis/redis-store.ts";
import { type Leases, WATCHERS } from "../../../../worker/session-store/session-log.ts";
import { register } from "../conformance/session-requests.ts";
import { PATIENT_DEADLINE_MS, testPolicy } from "../store-harness.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

/** Enough for two attempts, the first of which waits for a response that is lost. */
const RETRY_DEADLINE_MS = 4000;

/** Longer than any test. */
const LEASE_MS = 3_600_000;

describe("the leases of RedisStore", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(async () => {
    awaited.mockClear();
    await harness.clear();
  });
  afterAll(() => harness.close());

  const awaited = vi.fn<(leases: Leases) => Promise<void>>(async () => undefined);

  const storeAt = (url: string, deadlineMs = PATIENT_DEADLINE_MS) =>
    new RedisStore({
      url,
      token: harness.token,
      policy: testPolicy(harness.idleMs),
      keyPrefix: harness.keys.prefix,
      background: harness.background,
      deadlineMs,
      awaitAcknowledgements: awaited,
    });

  it.each<[string, SessionRequest]>([
    ["a register", register(1)],
    ["an issue", { kind: "issue", user: "kim", ip: null }],
  ])(
    "are awaited by %s that was sent twice, because the first may have ended or changed sessions",
    async (name, request) => {
      const store = storeAt(`${harness.faultyUrl}/lose-first-response/leases-${name.at(-1)}`, RETRY_DEADLINE_MS);
      await harness.open().readLog({ after: null, limit: 1, lease: { hub: "a", ms: LEASE_MS } });
      const [response] = await store.run([request]);
      expect(response?.status).toBe(Status.Ok);
      expect(awaited.mock.calls.map(([leases]) => [...leases.keys()])).toEqual([["a"]]);
    },
  );

  it("are awaited by a register that a bridge sends again", async () => {
    const store = storeAt(harness.url);
    await store.readLog({ after: null, limit: 1, lease: { hub: "a", ms: LEASE_MS } });
    await store.run([register(1)], { forBridge: true, isRepeat: true });
    expect(awaited).toHaveBeenCalledTimes(1);
    await store.run([register(2)], { forBridge: true, isRepeat: false });
    expect(awaited).toHaveBeenCalledTimes(1);
  });

  it("are awaited by nobody who has only read, however often", async () => {
    const store = storeAt(`${harness.faultyUrl}/lose-first-response/leases-check`, RETRY_DEADLINE_MS);
    await harness.open().readLog({ after: null, limit: 1, lease: { hub: "a", ms: LEASE_MS } });
    expect((await store.run([{ kind: "check", sessid: 1 }]))[0]?.status).toBe(Status.NotFound);
    expect(awaited).not.toHaveBeenCalled();
  });

  it("that cannot be read make a write Unavailable that was sent twice, and no read beside it", async () => {
    // The third request asks for the leases.
    const store = storeAt(`${harness.faultyUrl}/lose-all-but-second-response/leases`, RETRY_DEADLINE_MS);
    const responses = await store.run([{ kind: "check", sessid: 2 }, register(1)]);
    expect(responses.map(({ status }) => status)).toEqual([Status.NotFound, Status.Unavailable]);
  });

  it("are none to a worker of an older version, which waits for every time that is to come, if somebody only watches", async () => {
    await harness.open().readLog({ after: null, limit: 1, watchMs: LEASE_MS });
    expect(await harness.command("ZRANGE", harness.keys.leases, "0", "-1")).toEqual([WATCHERS]);
    expect(await harness.command("ZCOUNT", harness.keys.leases, "0", "+inf")).toBe(0);
  });

  it("leave nothing behind of hubs whose leases have run out, once another hub comes", async () => {
    const store = harness.open();
    await store.readLog({ after: null, limit: 1, lease: { hub: "a", ms: 1 } });
    await harness.advance(2);
    await store.readLog({ after: null, limit: 1, lease: { hub: "b", ms: LEASE_MS } });
    expect(await harness.command("ZRANGE", harness.keys.leases, "0", "-1")).toEqual(["b"]);
  });
});

describe("RedisStore, asked by a bridge,", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  it.each(["check", "checkAccess", "identify"] as const)("has a %s answered by the primary", async (kind) => {
    // No touch is due, which a primary would write.
    const store = harness.open({ touchIntervalMs: 60_000 });
    await store.run([register(1)]);
    const requests = {
      check: { kind: "check", sessid: 1 },
      checkAccess: { kind: "checkAccess", sessid: 1, resource: "a" },
      identify: { kind: "identify", sessid: 1, secretHash: "a".repeat(43) },
    } as const;
    /** Calls of scripts that no replica may serve. */
    const primaryReads = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await harness.command("INFO", "commandstats"))?.[1] ?? 0);
    await harness.settle();
    const before = await primaryReads();
    await store.run([requests[kind]], { forBridge: true });
    expect(await primaryReads()).toBe(before + 1);
    await store.run([requests[kind]], { forBridge: false });
    expect(await primaryReads()).toBe(before + 1);
  });
});
