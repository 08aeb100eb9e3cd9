import { expect, it } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import type { SessionEvent } from "../../../../worker/session-store/session-log.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { LogReader, told } from "./log-reader.ts";
import { check, live, register } from "./session-requests.ts";

/** More than a writing run trims, or a read of the log in one step. */
const MANY = 2500;

/** What the log says of sessions, and what it does not say. */
export function logBehaviour(harnessOf: () => StoreHarness): void {
  it("tells every beginning and every end once, in the order in which they happened", async () => {
    const store = harnessOf().open();
    const reader = await LogReader.open(store);
    await store.run([register(1), register(2, { user: "lee" }), register(3, { user: null })]);
    await store.run([{ kind: "delete", sessid: 2 }, register(4), { kind: "delete", sessid: 1 }]);
    await store.run([register(2)]);
    const events = await reader.read();
    expect(events.map(told)).toEqual([
      "began 1 of kim",
      "began 2 of lee",
      "began 3 of nobody",
      "ended 2 of lee, deleted",
      "began 4 of kim",
      "ended 1 of kim, deleted",
      "began 2 of kim",
    ]);
    expect(new Set(events.map(({ position }) => position)).size).toBe(events.length);
    expect(await reader.read()).toEqual([]);
  });

  it("says when it happened", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const reader = await LogReader.open(store);
    for (const request of [register(1), { kind: "delete", sessid: 1 }] satisfies SessionRequest[]) {
      const before = await harness.now();
      await store.run([request]);
      const after = await harness.now();
      const [event] = await reader.read();
      expect(event?.at).toBeGreaterThanOrEqual(before);
      expect(event?.at).toBeLessThanOrEqual(after);
      await harness.advance(1000);
    }
  });

  it("has names as they are", async () => {
    const store = harnessOf().open();
    const reader = await LogReader.open(store);
    const names = ['a"b\\c', "d\ne\u2028", "아르토리아", "1", ",x1763700000000", "\u0000\u001f", "u".repeat(128)];
    await store.run(names.map((user, index) => register(index + 1, { user })));
    await store.run(names.map((user) => ({ kind: "deleteUser", user })));
    expect((await reader.read()).map(({ user }) => user)).toEqual([...names, ...names]);
  });

  it("tells of an issue, of the end of all sessions of a user, and of the end of all", async () => {
    const store = harnessOf().open();
    const reader = await LogReader.open(store);
    const issued = await runOne(store, { kind: "issue", user: "lee", ip: null });
    await store.run([register(1), register(2), register(3)]);
    await reader.read();
    await store.run([{ kind: "deleteUser", user: "kim", except: 2 }]);
    expect((await reader.read()).map(told).sort()).toEqual(["ended 1 of kim, deleted", "ended 3 of kim, deleted"]);
    await store.endAll();
    expect((await reader.read()).map(told).sort()).toEqual(
      ["ended 2 of kim, deleted", `ended ${issued.sessid} of lee, deleted`].sort(),
    );
  });

  it("tells of an eviction before the beginning that made it necessary", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxSessionsPerUser: 2, limitPolicy: "evict-oldest" });
    const reader = await LogReader.open(store);
    await store.run([register(1)]);
    await harness.advance(1000);
    await store.run([register(2)]);
    await harness.advance(1000);
    await reader.read();
    await store.run([register(3)]);
    const issued = await runOne(store, { kind: "issue", user: "kim", ip: null });
    expect((await reader.read()).map(told)).toEqual([
      "ended 1 of kim, evicted",
      "began 3 of kim",
      "ended 2 of kim, evicted",
      `began ${issued.sessid} of kim`,
    ]);
  });

  it("does not tell of checks, touches, plain refreshes, or of what was refused", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxSessionsPerUser: 1 });
    const secretHash = "A".repeat(43);
    await store.run([register(1, { grants: ["shop"], secretHash, ip: "10.0.0.1" })]);
    const reader = await LogReader.open(store);
    await harness.advance(1000);
    await store.run([
      { kind: "check", sessid: 1 },
      { kind: "checkAccess", sessid: 1, resource: "shop" },
      { kind: "identify", sessid: 1, secretHash },
      { kind: "get", sessid: 1 },
      { kind: "count" },
      { kind: "listUser", user: "kim" },
      { kind: "check", sessid: 9 },
    ]);
    await harness.settle();
    await store.run([
      register(1),
      register(1, { ip: "::1" }),
      register(1, { grants: ["shop"], secretHash }),
      register(1, { idleMs: 2 * harness.idleMs }),
      register(1, { user: "lee" }),
      register(2),
      { kind: "delete", sessid: 1, user: "lee" },
      { kind: "delete", sessid: 1, secretHash: "B".repeat(43) },
      { kind: "delete", sessid: 9 },
      { kind: "deleteUser", user: "lee" },
    ]);
    await store.sweep();
    expect(await reader.read()).toEqual([]);
  });

  it("does not tell of a refresh that names the default grants where the session has them", async () => {
    const store = harnessOf().open();
    await store.run([register(1), register(2, { grants: ["*"] })]);
    const reader = await LogReader.open(store);
    await store.run([register(1, { grants: ["*"] }), register(2)]);
    expect(await reader.read()).toEqual([]);
  });

  const changes: [what: string, choice: Parameters<typeof register>[1]][] = [
    ["has other grants", { grants: ["room:*"] }],
    ["has grants where it had the default", { grants: [] }],
    ["has another token", { secretHash: "C".repeat(43) }],
    ["expires earlier", { idleMs: 60_000 }],
  ];
  it.each(changes)("tells of a change if a refreshed session %s", async (_, choice) => {
    const store = harnessOf().open();
    await store.run([register(1, { secretHash: "A".repeat(43) })]);
    const reader = await LogReader.open(store);
    await store.run([register(1, choice)]);
    expect((await reader.read()).map(told)).toEqual(["changed 1 of kim"]);
    await store.run([register(1, choice)]);
    expect(await reader.read()).toEqual([]);
  });

  it("tells of the end of an expired session, at the time when it expired", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1, { user: "lee" }), register(2, { user: null, idleMs: 2 * harness.idleMs })]);
    const expiries = [(await live(store, 1)).expiresAt, (await live(store, 2)).expiresAt];
    const reader = await LogReader.open(store);
    await harness.advance(harness.idleMs - 1000);
    expect(await reader.read()).toEqual([]);
    await harness.advance(harness.idleMs + 2000);
    const events = await reader.read();
    expect(events.map(told)).toEqual(["ended 1 of lee, expired", "ended 2 of nobody, expired"]);
    expect(events.map(({ at }) => at)).toEqual(expiries);
    expect(await reader.read()).toEqual([]);
  });

  it("has the expiry of a session that a touch has moved", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1)]);
    const reader = await LogReader.open(store);
    await harness.advance(60_000);
    await check(store, 1);
    await harness.settle();
    const { expiresAt } = await live(store, 1);
    await harness.advance(harness.idleMs - 1000);
    expect(await reader.read()).toEqual([]);
    await harness.advance(1000);
    expect(await reader.read()).toMatchObject([{ reason: "expired", at: expiresAt, user: "kim" }]);
  });

  it("tells of an expired session's end before its sessid begins anew", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const reader = await LogReader.open(store);
    await store.run([register(1, { user: "lee" }), register(2, { user: null })]);
    await harness.advance(harness.idleMs);
    await store.run([register(2), register(1, { user: null })]);
    const told1 = (events: SessionEvent[], id: number) => events.filter(({ sessid }) => sessid === id).map(told);
    const events = await reader.read();
    expect(told1(events, 1)).toEqual(["began 1 of lee", "ended 1 of lee, expired", "began 1 of nobody"]);
    expect(told1(events, 2)).toEqual(["began 2 of nobody", "ended 2 of nobody, expired", "began 2 of kim"]);
  });

  const finders: [who: string, find: (harness: StoreHarness) => Promise<unknown>][] = [
    ["a sweep", (harness) => harness.open().sweep()],
    ["a register", (harness) => harness.open().run([register(9)])],
    ["a delete of another", (harness) => harness.open().run([register(9), { kind: "delete", sessid: 9 }])],
    ["a delete of it", (harness) => harness.open().run([{ kind: "delete", sessid: 1 }])],
    ["the end of its user's sessions", (harness) => harness.open().run([{ kind: "deleteUser", user: "kim" }])],
    ["the end of all sessions", (harness) => harness.open().endAll()],
    ["a check, a count and a list", (harness) => harness.open().run([{ kind: "check", sessid: 1 }, { kind: "count" }])],
    [
      "an eviction that its expiry made needless",
      (harness) => harness.open({ maxSessionsPerUser: 1, limitPolicy: "evict-oldest" }).run([register(9)]),
    ],
  ];
  it.each(finders)("tells once of an expiry that %s finds first", async (_, find) => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1)]);
    const reader = await LogReader.open(store);
    await harness.advance(harness.idleMs);
    await find(harness);
    await store.sweep();
    const events = (await reader.read()).filter(({ sessid }) => sessid === 1);
    expect(events.map(told)).toEqual(["ended 1 of kim, expired"]);
  });

  it("tells every expiry once where more have expired than one step takes", async () => {
    const harness = harnessOf();
    const store = harness.open();
    for (let first = 1; first <= MANY; first += 500) {
      await store.run(Array.from({ length: 500 }, (_, index) => register(first + index, { user: `user-${index}` })));
    }
    const reader = await LogReader.open(store);
    await harness.advance(harness.idleMs);
    // Sessids among those that no step before them has reached.
    await store.run([register(MANY), register(MANY - 1)]);
    const events = await reader.read();
    const ends = events.filter(({ reason }) => reason === "expired").map(({ sessid }) => sessid);
    expect(ends.sort((a, b) => a - b)).toEqual(Array.from({ length: MANY }, (_, index) => index + 1));
    const reused = events.filter(({ sessid }) => sessid === MANY).map(({ kind }) => kind);
    expect(reused).toEqual(["ended", "began"]);
    expect(await reader.read()).toEqual([]);
  });

  it("tells a reader to read on where it has found as many expired sessions as one step takes", async () => {
    const harness = harnessOf();
    const store = harness.open();
    for (let first = 1; first <= MANY; first += 500) {
      await store.run(Array.from({ length: 500 }, (_, index) => register(first + index, { user: null })));
    }
    const reader = await LogReader.open(store);
    await harness.advance(harness.idleMs);
    expect(await reader.read()).toHaveLength(MANY);
    expect(await reader.read()).toEqual([]);
  });

  it("tells of sessions that began and ended before it was first read", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1)]);
    const { position } = await LogReader.open(store);
    await store.run([register(2), { kind: "delete", sessid: 2 }]);
    const page = await store.readLog({ after: position, limit: 10 });
    expect(page.kind === "events" && page.events.map(told)).toEqual(["began 2 of kim", "ended 2 of kim, deleted"]);
  });
}
