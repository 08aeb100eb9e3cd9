import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { failedResponse, type SessionRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import { RedisStore, type RedisStoreOptions } from "../../../../worker/session-store/redis/redis-store.ts";
import { runOne, STORE_DEADLINE_MS } from "../../../../worker/session-store/session-store.ts";
import { check, count, register, sessidsOf } from "../conformance/session-requests.ts";
import { testPolicy } from "../store-harness.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

/** Of stores that are to run into it, so it is short. */
const DEADLINE_MS = 100;

/** Of stores that lose a reply and then get one: enough for two attempts on a busy machine. */
const RETRY_DEADLINE_MS = 4000;

/** What a busy machine may add to a deadline before the test sees the response. */
const GRACE_MS = 5000;

const ONE_OF_EACH: readonly SessionRequest[] = [
  { kind: "check", sessid: 1 },
  register(1),
  { kind: "get", sessid: 1 },
  { kind: "checkAccess", sessid: 1, resource: "a" },
  { kind: "identify", sessid: 1, secretHash: "a".repeat(43) },
  { kind: "listUser", user: "kim" },
  { kind: "issue", user: "kim", ip: null },
  { kind: "count" },
  { kind: "deleteUser", user: "lee" },
  { kind: "delete", sessid: 1 },
];

describe("RedisStore, when Redis cannot be asked,", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  function storeAt(url: string, options: Partial<RedisStoreOptions> = {}): RedisStore {
    return new RedisStore({
      url,
      token: harness.token,
      policy: testPolicy(60_000),
      keyPrefix: harness.keys.prefix,
      background: harness.background,
      deadlineMs: DEADLINE_MS,
      ...options,
    });
  }

  async function expectUnavailable(store: RedisStore, deadlineMs = DEADLINE_MS): Promise<void> {
    const startedAt = Date.now();
    const responses = await store.run(ONE_OF_EACH);
    expect(Date.now() - startedAt).toBeLessThan(deadlineMs + GRACE_MS);
    expect(responses).toEqual(ONE_OF_EACH.map(({ kind }) => failedResponse(kind, Status.Unavailable)));
  }

  it("has a deadline of one second by default", async () => {
    const store = new RedisStore({
      url: `${harness.faultyUrl}/silent`,
      token: harness.token,
      policy: testPolicy(60_000),
      keyPrefix: harness.keys.prefix,
      background: harness.background,
    });
    const startedAt = Date.now();
    await expectUnavailable(store, STORE_DEADLINE_MS);
    expect(STORE_DEADLINE_MS).toBe(1000);
    // Two attempts of 0.45 s and a pause; a timer may fire a little early.
    expect(Date.now() - startedAt).toBeGreaterThan(900);
  });

  it.each([
    "silent",
    "stalled-body",
    "html-response",
    "too-few-outcomes",
    "one-outcome",
    "foreign-outcomes",
    "no-replicas",
  ])("answers Unavailable within the deadline, and no ping: %s", async (fault) => {
    const store = storeAt(`${harness.faultyUrl}/${fault}`);
    await expectUnavailable(store);
    expect(await store.ping()).toBe(false);
    await store.sweep();
  });

  it("answers Unavailable to a wrong token, and executes nothing", async () => {
    const store = storeAt(harness.url, { token: "wrong-token" });
    await expectUnavailable(store);
    expect(await store.ping()).toBe(false);
    expect(await harness.command("KEYS", "*")).toEqual([]);
  });

  it("answers Unavailable where nobody listens", async () => {
    await expectUnavailable(storeAt("http://127.0.0.1:1"));
  });

  it("answers Unavailable while Redis is stopped, and recovers with it", async () => {
    const store = storeAt(harness.url);
    await runOne(harness.open(), register(1));
    await harness.signal("SIGSTOP");
    try {
      await expectUnavailable(store);
      expect(await store.ping()).toBe(false);
    } finally {
      await harness.signal("SIGCONT");
    }
    const patient = harness.open();
    while (!(await patient.ping())) await scheduler.wait(20);
    await runOne(patient, register(2, { user: "lee" }));
    expect(await check(patient, 2)).toBe(Status.Ok);
  });

  it("repeats a register whose reply was lost, without another effect", async () => {
    const store = storeAt(`${harness.faultyUrl}/lose-first-response/register`, {
      policy: testPolicy(60_000, { maxSessionsPerUser: 1, limitPolicy: "evict-oldest" }),
      deadlineMs: RETRY_DEADLINE_MS,
    });
    await runOne(harness.open(), register(1));
    expect((await runOne(store, register(2))).status).toBe(Status.Ok);
    expect(await sessidsOf(store, "kim")).toEqual([2]);
  });

  it("finds the session of an issue whose reply was lost, instead of creating another", async () => {
    const store = storeAt(`${harness.faultyUrl}/lose-first-response/issue`, { deadlineMs: RETRY_DEADLINE_MS });
    const issued = await runOne(store, { kind: "issue", user: "kim", ip: null });
    expect(issued.status).toBe(Status.Ok);
    expect(await count(store)).toEqual([1, 1]);
    expect(await sessidsOf(store, "kim")).toEqual([issued.sessid]);
  });

  it("has ended the session of a delete whose reply was lost", async () => {
    await runOne(harness.open(), register(1));
    const store = storeAt(`${harness.faultyUrl}/lose-first-response/delete`, { deadlineMs: RETRY_DEADLINE_MS });
    expect((await runOne(store, { kind: "delete", sessid: 1 })).status).toBe(Status.NotFound);
    expect(await harness.command("KEYS", "*")).toEqual([harness.keys.log]);
  });
});
