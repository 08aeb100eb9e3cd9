import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { failedResponse, type SessionRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { RedisStore } from "../../../worker/session-store/redis-store.ts";
import { runOne, STORE_DEADLINE_MS } from "../../../worker/session-store/session-store.ts";
import { check, count, register, sessidsOf } from "./conformance/session-requests.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";
import { testPolicy } from "./store-harness.ts";

/** What a busy machine may add to the deadline before the test sees the answer. */
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

describe("RedisStore, when Redis can't be asked,", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  /** A store as in production, its deadline included. */
  function storeAt(url: string, token = harness.token): RedisStore {
    return new RedisStore({ url, token, policy: testPolicy(60_000), background: harness.background });
  }

  async function expectUnavailable(store: RedisStore): Promise<void> {
    const startedAt = Date.now();
    const responses = await store.run(ONE_OF_EACH);
    expect(Date.now() - startedAt).toBeLessThan(STORE_DEADLINE_MS + GRACE_MS);
    expect(responses).toEqual(ONE_OF_EACH.map(({ kind }) => failedResponse(kind, Status.Unavailable)));
  }

  it.each([
    "silent",
    "stalled-body",
    "html-answer",
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
    const store = storeAt(harness.url, "wrong-token");
    await expectUnavailable(store);
    expect(await store.ping()).toBe(false);
    expect(await harness.command("KEYS", "*")).toEqual([]);
  });

  it("answers Unavailable where nobody listens", async () => {
    const gone = await startRedisHarness();
    await gone.close();
    await expectUnavailable(storeAt(gone.url));
  });

  it("answers Unavailable while Redis is stopped, and recovers with it", async () => {
    const store = storeAt(harness.url);
    await runOne(store, register(1));
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

  it("repeats a register whose answer was lost, without another effect", async () => {
    const store = new RedisStore({
      url: `${harness.faultyUrl}/lose-first-answer/register`,
      token: harness.token,
      policy: testPolicy(60_000, { maxSessionsPerUser: 1, limitPolicy: "evict-oldest" }),
      background: harness.background,
    });
    await runOne(harness.open(), register(1));
    expect((await runOne(store, register(2))).status).toBe(Status.Ok);
    expect(await sessidsOf(store, "kim")).toEqual([2]);
  });

  it("finds the session of an issue whose answer was lost, instead of making another", async () => {
    const store = storeAt(`${harness.faultyUrl}/lose-first-answer/issue`);
    const issued = await runOne(store, { kind: "issue", user: "kim", ip: null });
    expect(issued.status).toBe(Status.Ok);
    expect(await count(store)).toEqual([1, 1]);
    expect(await sessidsOf(store, "kim")).toEqual([issued.sessid]);
  });

  it("has ended a session whose delete's answer was lost", async () => {
    await runOne(harness.open(), register(1));
    const store = storeAt(`${harness.faultyUrl}/lose-first-answer/delete`);
    expect((await runOne(store, { kind: "delete", sessid: 1 })).status).toBe(Status.NotFound);
    expect(await harness.command("KEYS", "*")).toEqual([]);
  });
});
