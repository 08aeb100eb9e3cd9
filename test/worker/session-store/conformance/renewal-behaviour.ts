import { expect, it } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { expectEndsAt, expectSetTo } from "./clock-expectations.ts";
import { check, live, register } from "./session-requests.ts";

const SECRET_HASH = "a".repeat(43);

const USES: readonly [string, SessionRequest, number][] = [
  ["check", { kind: "check", sessid: 1 }, Status.Ok],
  ["check of a granted resource", { kind: "checkAccess", sessid: 1, resource: "lobby" }, Status.Ok],
  ["check of a denied resource", { kind: "checkAccess", sessid: 1, resource: "vault" }, Status.Denied],
  ["identification", { kind: "identify", sessid: 1, secretHash: SECRET_HASH }, Status.Ok],
  ["denied identification", { kind: "identify", sessid: 1, secretHash: SECRET_HASH, resource: "vault" }, Status.Denied],
];

/** How use moves a session's expiry. */
export function renewalBehaviour(harnessOf: () => StoreHarness): void {
  it.each(USES)("renews a session by a %s", async (_, request, status) => {
    const harness = harnessOf();
    const store = harness.open();
    await runOne(store, register(1, { secretHash: SECRET_HASH, grants: ["lobby"], idleMs: 60_000 }));
    await harness.advance(10);
    await expectSetTo(harness, 60_000, async () => {
      expect(await runOne(store, request)).toMatchObject({ status });
      await harness.settle();
      return (await live(store, 1)).expiresAt;
    });
  });

  it("keeps a session alive beyond its first expiry while it is used, until it is idle", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const first = (await runOne(store, register(1))).expiresAt;
    await harness.advance(harness.idleMs / 2);
    expect(await check(store, 1)).toBe(Status.Ok);
    await harness.settle();
    const second = (await live(store, 1)).expiresAt;
    expect(second - first).toBeGreaterThanOrEqual(harness.idleMs / 2);
    await expectEndsAt(harness, store, 1, second);
  });

  it("never renews a session beyond its absolute lifetime", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxMs: 1.5 * harness.idleMs });
    await runOne(store, register(1));
    const { createdAt } = await live(store, 1);
    await harness.advance(0.6 * harness.idleMs);
    expect(await check(store, 1)).toBe(Status.Ok);
    await harness.settle();
    const { expiresAt } = await live(store, 1);
    expect(expiresAt).toBe(createdAt + 1.5 * harness.idleMs);
    await expectEndsAt(harness, store, 1, expiresAt);
  });

  it.each([
    ["the touch interval", 600_000, 60_000_000],
    ["a tenth of the idle time where that is shorter", 6_000_000, 6_000_000],
  ])("writes no touch before %s has passed, and one after it", async (_, touchIntervalMs, idleMs) => {
    const harness = harnessOf();
    const store = harness.open({ touchIntervalMs, maxMs: 2 * idleMs });
    const remainderMs = harness.isClockStill ? 1 : 60_000;
    const { expiresAt } = await runOne(store, register(1, { idleMs }));
    await harness.advance(600_000 - remainderMs);
    await check(store, 1);
    await harness.settle();
    expect((await live(store, 1)).expiresAt).toBe(expiresAt);
    await harness.advance(remainderMs);
    await check(store, 1);
    await harness.settle();
    expect((await live(store, 1)).expiresAt).toBeGreaterThanOrEqual(expiresAt + 600_000);
  });

  it("begins the lifetime and its absolute cap anew with a refresh", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxMs: 1.5 * harness.idleMs });
    await runOne(store, register(1));
    const before = await live(store, 1);
    await harness.advance(harness.idleMs / 2);
    expect(await runOne(store, register(1))).toMatchObject({ status: Status.Ok, created: false });
    const after = await live(store, 1);
    expect(after.createdAt).toBeGreaterThanOrEqual(before.createdAt + harness.idleMs / 2);
    expect(after.expiresAt).toBe(after.createdAt + harness.idleMs);
  });

  it("keeps everything else of a session that it renews", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await runOne(store, register(1, { ip: "2001:db8::7", grants: [], secretHash: SECRET_HASH }));
    const { expiresAt: _, ...before } = await live(store, 1);
    await harness.advance(10);
    await check(store, 1);
    await harness.settle();
    const { expiresAt: __, ...after } = await live(store, 1);
    expect(after).toEqual(before);
    expect(await runOne(store, { kind: "identify", sessid: 1, secretHash: SECRET_HASH })).toMatchObject({
      status: Status.Ok,
    });
  });
}
