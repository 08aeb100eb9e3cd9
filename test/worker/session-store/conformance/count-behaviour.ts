import { expect, it } from "vitest";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { count, register } from "./session-requests.ts";

/** Exact counts of sessions and users after every kind of change. */
export function countBehaviour(harnessOf: () => StoreHarness): void {
  it("is exact after every kind of change", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxSessionsPerUser: 3, limitPolicy: "evict-oldest" });
    const after = async (...requests: Parameters<typeof store.run>[0]) => {
      await store.run(requests);
      await harness.settle();
      return count(store);
    };
    expect(await after()).toEqual([0, 0]);
    expect(await after(register(1), register(2))).toEqual([2, 1]);
    expect(await after(register(3, { user: "lee" }))).toEqual([3, 2]);
    expect(await after(register(3, { user: "lee" }))).toEqual([3, 2]);
    expect(await after(register(3, { user: "kim" }))).toEqual([3, 2]);
    expect(await after(register(4, { user: null }))).toEqual([4, 2]);
    expect(await after({ kind: "issue", user: "kim", ip: null }, { kind: "issue", user: null, ip: null })).toEqual([
      6, 2,
    ]);
    expect(await after(register(5))).toEqual([6, 2]);
    expect(await after({ kind: "check", sessid: 3 }, { kind: "check", sessid: 99 })).toEqual([6, 2]);
    expect(await after({ kind: "delete", sessid: 3, user: "kim" })).toEqual([6, 2]);
    expect(await after({ kind: "delete", sessid: 3, user: "lee" })).toEqual([5, 1]);
    expect(await after({ kind: "delete", sessid: 4 })).toEqual([4, 1]);
    expect(await after({ kind: "deleteUser", user: "kim" })).toEqual([1, 0]);
  });

  it("drops expired sessions by the clock, and a user only with the last session", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const sessions = [
      register(1, { idleMs: 1000 }),
      register(2, { idleMs: 60_000 }),
      register(3, { user: "lee", idleMs: 1000 }),
    ];
    await store.run(sessions);
    await harness.advance(1000);
    expect(await count(store)).toEqual([1, 1]);
    await store.sweep();
    expect(await count(store)).toEqual([1, 1]);
    await runOne(store, { kind: "delete", sessid: 2 });
    expect(await count(store)).toEqual([0, 0]);
  });

  it("drops a user at the expiry that a refresh has shortened", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await runOne(store, register(1, { idleMs: 60_000 }));
    await runOne(store, register(1, { idleMs: 500 }));
    await harness.advance(500);
    expect(await count(store)).toEqual([0, 0]);
  });

  it("is exact for many sessions of fewer users", async () => {
    const store = harnessOf().open();
    const sessions = Array.from({ length: 600 }, (_, index) =>
      register(index + 1, { user: `user-${index % 350}`, idleMs: 600_000 }),
    );
    await store.run(sessions);
    expect(await count(store)).toEqual([600, 350]);
    await store.run(sessions.slice(0, 300).map(({ sessid }) => ({ kind: "delete", sessid })));
    expect(await count(store)).toEqual([300, 300]);
  });
}
