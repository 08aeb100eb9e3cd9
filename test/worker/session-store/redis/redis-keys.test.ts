import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { RedisStore } from "../../../../worker/session-store/redis/redis-store.ts";
import type { SessionPolicy } from "../../../../worker/session-store/session-lifetime.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import { check, count, live, register, sessidsOf } from "../conformance/session-requests.ts";
import { PATIENT_DEADLINE_MS, testPolicy } from "../store-harness.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

describe("the keys of RedisStore", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  const prefix = "artoria:";
  /** What is there, without the prefix that every key has. */
  const keys = async () =>
    (await harness.command<string[]>("KEYS", "*"))
      .map((key) => (key.startsWith(prefix) ? key.slice(prefix.length) : `without the prefix: ${key}`))
      .sort();
  const pttl = (key: string) => harness.command<number>("PTTL", `${prefix}${key}`);

  it("are of seven kinds, and none that a verdict needs outlives the idle time", async () => {
    const store = harness.open();
    await store.run([register(1), register(2, { user: "lee" }), register(-3, { user: null })]);
    await check(store, 1);
    await harness.settle();
    await runOne(store, register(2, { user: "lee" }));
    await store.readLog({ after: null, limit: 1, lease: { hub: "a", ms: 1 } });
    const lasting = ["leases", "log", "owners", "sessions"];
    expect(await keys()).toEqual([...lasting, "s:-3", "s:1", "s:2", "u:kim", "u:lee", "users"].sort());
    for (const key of (await keys()).filter((name) => !lasting.includes(name))) {
      const ttlMs = await pttl(key);
      expect(ttlMs, key).toBeGreaterThan(0);
      expect(ttlMs, key).toBeLessThanOrEqual(harness.idleMs);
    }
    for (const key of lasting) expect(await pttl(key), key).toBe(-1);
  });

  it("hold a record that says no more than the session has", async () => {
    const store = harness.open();
    await store.run([register(1, { ip: "10.0.0.1" }), register(2, { user: null, grants: [] })]);
    const { createdAt, expiresAt } = await live(store, 1);
    expect(await harness.command("GET", `${prefix}s:1`)).toBe(
      `{"e":${expiresAt},"t":${createdAt},"c":${createdAt},"i":${harness.idleMs},"u":"kim","p":"10.0.0.1"}`,
    );
    expect(JSON.parse(await harness.command("GET", `${prefix}s:2`))).toMatchObject({ g: [] });
  });

  it("hold of a token only the hash of its secret", async () => {
    const store = harness.open();
    const { sessid, token } = await runOne(store, { kind: "issue", user: "kim", ip: null });
    const record = await harness.command<string>("GET", `${prefix}s:${sessid}`);
    const secret = btoa(String.fromCharCode(...token.slice(4)));
    expect(JSON.parse(record)).toMatchObject({ h: expect.stringMatching(/^[\w-]{43}$/) });
    expect(record).not.toContain(secret.slice(0, 16));
  });

  it("are all gone but the log when the last session is deleted, one by one or by user", async () => {
    const store = harness.open();
    await store.run([register(1), register(2), register(3, { user: "lee" }), register(4, { user: null })]);
    await store.run([
      { kind: "delete", sessid: 1 },
      { kind: "delete", sessid: 2 },
    ]);
    expect(await keys()).toEqual(["log", "owners", "s:3", "s:4", "sessions", "u:lee", "users"]);
    await store.run([
      { kind: "deleteUser", user: "lee" },
      { kind: "delete", sessid: 4 },
    ]);
    expect(await keys()).toEqual(["log"]);
  });

  it("are gone when the last session has expired, but for what a sweep needs to write the ends", async () => {
    const store = harness.open();
    await store.run([
      register(1, { idleMs: 700 }),
      register(2, { user: "lee", idleMs: 300 }),
      register(3, { user: null, idleMs: 100 }),
    ]);
    // Redis keeps a key through the millisecond of its expiry.
    await harness.advance(701);
    expect(await keys()).toEqual(["log", "owners", "sessions"]);
    await store.sweep();
    expect(await keys()).toEqual(["log"]);
  });

  it("hold no expired member in an index after a write or a sweep", async () => {
    const store = harness.open();
    const short = Array.from({ length: 50 }, (_, index) =>
      register(index + 10, { user: `user-${index}`, idleMs: 200 }),
    );
    await store.run([register(1, { idleMs: 60_000 }), ...short]);
    await harness.advance(200);
    expect(await harness.command("ZCARD", `${prefix}sessions`)).toBe(51);
    await store.sweep();
    expect([
      await harness.command("ZCARD", `${prefix}sessions`),
      await harness.command("ZCARD", `${prefix}users`),
    ]).toEqual([1, 1]);

    await store.run(short);
    await harness.advance(200);
    await runOne(store, { kind: "delete", sessid: 1 });
    expect(await keys()).toEqual(["log"]);
  });

  it("hold nothing expired after a sweep, however much there was", async () => {
    const store = harness.open();
    const expired = Array.from({ length: 25_000 }, (_, index) => ["1000", `gone-${index}`]).flat();
    await harness.command("ZADD", `${prefix}sessions`, ...expired);
    await harness.command("ZADD", `${prefix}users`, ...expired);
    await runOne(store, register(1));
    expect(await count(store)).toEqual([1, 1]);
    await store.sweep();
    expect([
      await harness.command("ZCARD", `${prefix}sessions`),
      await harness.command("ZCARD", `${prefix}users`),
    ]).toEqual([1, 1]);
  });

  it("have the same expiry in the record and in every index after a touch", async () => {
    const store = harness.open();
    await runOne(store, register(1));
    await harness.advance(20);
    await check(store, 1);
    await harness.settle();
    const expiresAt = harness.storedTime((await live(store, 1)).expiresAt);
    for (const [key, member] of [
      ["sessions", "1"],
      ["u:kim", "1"],
      ["users", "kim"],
    ] as const) {
      expect(await harness.command("ZSCORE", `${prefix}${key}`, member)).toBe(String(expiresAt));
    }
    expect(await harness.command("PEXPIRETIME", `${prefix}u:kim`)).toBe(expiresAt);
  });

  it("are there for a record as long as its session lives, to the millisecond", async () => {
    const store = harness.open();
    // Redis keeps a key through the millisecond of its expiry; a session has ended in that of its own.
    const expectLast = async () => {
      const expiresAt = harness.storedTime((await live(store, 1)).expiresAt);
      expect(await harness.command("PEXPIRETIME", `${prefix}s:1`)).toBe(expiresAt - 1);
    };
    await runOne(store, register(1));
    await expectLast();
    await harness.advance(20);
    await check(store, 1);
    await harness.settle();
    await expectLast();
    await runOne(store, register(1, { idleMs: 60_000 }));
    await expectLast();
  });

  it("keep a user's set until the last of its sessions ends, whichever came last", async () => {
    const store = harness.open();
    await store.run([register(1, { idleMs: 60_000 }), register(2, { user: "lee", idleMs: 60_000 })]);
    await store.run([register(3, { idleMs: 30_000 }), register(4, { user: "lee", idleMs: 90_000 })]);
    for (const [user, last] of [
      ["kim", 1],
      ["lee", 4],
    ] as const) {
      const { expiresAt } = await live(store, last);
      expect(await harness.command("PEXPIRETIME", `${prefix}u:${user}`)).toBe(expiresAt);
      expect(await harness.command("ZSCORE", `${prefix}users`, user)).toBe(String(expiresAt));
    }
  });

  it("take all sessions of the largest batch, of one user", async () => {
    const store = harness.open();
    const registers = Array.from({ length: 1000 }, (_, index) => register(index + 1, { idleMs: 600_000 }));
    const responses = await store.run(registers);
    expect(responses.every(({ status }) => status === Status.Ok)).toBe(true);
    expect((await runOne(store, { kind: "listUser", user: "kim" })).sessions).toHaveLength(1000);
    expect((await runOne(store, { kind: "deleteUser", user: "kim" })).deleted).toBe(1000);
    expect(await keys()).toEqual(["log"]);
  });
});

describe("RedisStore with another key prefix", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  const openAt = (keyPrefix: string, policy: Partial<SessionPolicy> = {}) =>
    new RedisStore({
      url: harness.url,
      token: harness.token,
      policy: testPolicy(harness.idleMs, policy),
      keyPrefix,
      background: harness.background,
      deadlineMs: PATIENT_DEADLINE_MS,
    });

  it("shares no session with its neighbour in the database, whatever the neighbour does", async () => {
    const store = openAt("shop/1:");
    const neighbour = openAt("shop/2:", { maxSessionsPerUser: 1, limitPolicy: "evict-oldest" });
    await store.run([register(1), register(2), register(3, { user: null })]);
    const before = await harness.command<string[]>("KEYS", "*");
    expect(before.filter((key) => !key.startsWith("shop/1:"))).toEqual([]);
    expect(await check(neighbour, 1)).toBe(Status.NotFound);
    await neighbour.run([
      { kind: "delete", sessid: 1 },
      { kind: "deleteUser", user: "kim" },
      register(1),
      register(2),
      { kind: "check", sessid: 2 },
    ]);
    expect(await sessidsOf(neighbour, "kim")).toEqual([2]);
    expect(await neighbour.endAll()).toEqual({ ended: 1, complete: true });
    await neighbour.sweep();
    await harness.settle();
    expect((await harness.command<string[]>("KEYS", "*")).sort()).toEqual([...before, "shop/2:log"].sort());
    expect(await sessidsOf(store, "kim")).toEqual([1, 2]);
    expect(await count(store)).toEqual([3, 1]);
  });

  it("keeps the sessions of older versions with the empty prefix and the commands of docs/configuration.md", async () => {
    const store = openAt("");
    await store.run([register(1), register(2, { user: "lee" }), register(3, { user: null })]);
    await harness.command("RENAME", "sessions", "x");
    await harness.command("RENAME", "users", "U");
    await store.run([register(4), { kind: "check", sessid: 1 }]);
    expect(await check(store, 2)).toBe(Status.Ok);
    await harness.settle();
    await harness.command("ZUNIONSTORE", "sessions", "2", "sessions", "x", "AGGREGATE", "MAX");
    await harness.command("ZUNIONSTORE", "users", "2", "users", "U", "AGGREGATE", "MAX");
    await harness.command("DEL", "x", "U");
    expect(await count(store)).toEqual([4, 2]);
    expect(await sessidsOf(store, "kim")).toEqual([1, 4]);
    await runOne(store, register(5));
    expect(await harness.command<number>("PTTL", "users")).toBeGreaterThan(0);
    expect(await harness.command<number>("PTTL", "sessions")).toBe(-1);
    expect(await store.endAll()).toEqual({ ended: 5, complete: true });
    expect(await harness.command("KEYS", "*")).toEqual(["log"]);
  });
});
