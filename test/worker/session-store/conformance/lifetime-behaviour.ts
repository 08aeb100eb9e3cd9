import { expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { expectEndsAt, expectSetTo } from "./clock-expectations.ts";
import { check, live, register, sessidsOf } from "./session-requests.ts";

/** How long a session lives when nothing renews it, and what does not renew it. */
export function lifetimeBehaviour(harnessOf: () => StoreHarness): void {
  it("ends a session its idle time after it was registered, in that millisecond", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const expiresAt = await expectSetTo(harness, harness.idleMs, async () => {
      return (await runOne(store, register(1))).expiresAt;
    });
    expect((await live(store, 1)).expiresAt).toBe(expiresAt);
    await expectEndsAt(harness, store, 1, expiresAt);
    expect(await sessidsOf(store, "kim")).toEqual([]);
    expect(await runOne(store, { kind: "delete", sessid: 1 })).toEqual({ kind: "delete", status: Status.NotFound });
  });

  it("lets a session choose its idle time, and a refresh keep or change it", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const idleMs = 3 * harness.idleMs;
    const lifetime = (choice: { idleMs?: number }) => async () => (await runOne(store, register(1, choice))).expiresAt;
    await expectSetTo(harness, idleMs, lifetime({ idleMs }));
    await expectSetTo(harness, idleMs, lifetime({}));
    await expectSetTo(harness, harness.idleMs, lifetime({ idleMs: harness.idleMs }));
  });

  it("never gives more than the absolute lifetime", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxMs: 2 * harness.idleMs });
    await expectSetTo(harness, 2 * harness.idleMs, async () => {
      return (await runOne(store, register(1, { idleMs: 10 * harness.idleMs }))).expiresAt;
    });
  });

  it("lets another user take a sessid whose session has ended", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await runOne(store, register(2, { idleMs: 2 * harness.idleMs }));
    const { expiresAt } = await runOne(store, register(1));
    await harness.advance(expiresAt - (await harness.now()));
    expect(await runOne(store, register(1, { user: "lee" }))).toMatchObject({ status: Status.Ok, created: true });
    expect(await sessidsOf(store, "kim")).toEqual([2]);
    expect(await runOne(store, { kind: "deleteUser", user: "kim" })).toMatchObject({ deleted: 1 });
    expect(await check(store, 1)).toBe(Status.Ok);
  });

  it("does not change by a get, a list, a count or a wrong secret", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const { expiresAt } = await runOne(store, register(1, { secretHash: "a".repeat(43) }));
    await harness.advance(10);
    await store.run([
      { kind: "get", sessid: 1 },
      { kind: "listUser", user: "kim" },
      { kind: "count" },
      { kind: "identify", sessid: 1, secretHash: "b".repeat(43) },
    ]);
    await harness.settle();
    expect((await live(store, 1)).expiresAt).toBe(expiresAt);
  });
}
