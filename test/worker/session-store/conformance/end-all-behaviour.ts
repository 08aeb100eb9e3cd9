import { expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import type { StoreHarness } from "../store-harness.ts";
import { check, count, register, sessidsOf } from "./session-requests.ts";

/** More than a store ends in one step. */
const MANY = 2500;

/** The end of every session there is. */
export function endAllBehaviour(harnessOf: () => StoreHarness): void {
  it("ends every session, anonymous ones too, and says how many lived", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1), register(2), register(3, { user: "lee" }), register(4, { user: null })]);
    expect(await store.endAll()).toEqual({ ended: 4, complete: true });
    expect(await count(store)).toEqual([0, 0]);
    expect(await Promise.all([1, 2, 3, 4].map((sessid) => check(store, sessid)))).toEqual(
      Array(4).fill(Status.NotFound),
    );
    expect(await sessidsOf(store, "kim")).toEqual([]);
    expect(await harness.faults()).toEqual([]);
    expect(await store.endAll()).toEqual({ ended: 0, complete: true });
  });

  it("makes room for new sessions of a user who was at the limit", async () => {
    const store = harnessOf().open({ maxSessionsPerUser: 2 });
    await store.run([register(1), register(2)]);
    await store.endAll();
    expect((await store.run([register(3), register(4), register(5)])).map(({ status }) => status)).toEqual([
      Status.Ok,
      Status.Ok,
      Status.TooMany,
    ]);
  });

  it("does not count sessions that had expired", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1, { idleMs: 500 }), register(2, { idleMs: 600_000 })]);
    await harness.advance(500);
    expect(await store.endAll()).toEqual({ ended: 1, complete: true });
    expect(await count(store)).toEqual([0, 0]);
  });

  it("ends more sessions than one step takes, and no check in progress recreates one", async () => {
    const harness = harnessOf();
    const store = harness.open({ idleMs: 3_600_000, maxMs: 7_200_000 });
    for (let first = 1; first <= MANY; first += 500) {
      const sessids = Array.from({ length: 500 }, (_, index) => first + index);
      await store.run(sessids.map((sessid) => register(sessid, { user: `user-${sessid % 300}` })));
    }
    const checks = Array.from({ length: 500 }, (_, index) => ({ kind: "check", sessid: index + 1 }) as const);
    const [ended] = await Promise.all([store.endAll(), store.run(checks)]);
    await harness.settle();
    expect(ended).toEqual({ ended: MANY, complete: true });
    expect(await count(store)).toEqual([0, 0]);
    expect(await harness.faults()).toEqual([]);
  });

  it("does not end a session that is registered after it", async () => {
    const store = harnessOf().open();
    await store.run([register(1)]);
    await store.endAll();
    await store.run([register(1, { user: "lee" })]);
    expect(await check(store, 1)).toBe(Status.Ok);
    expect(await count(store)).toEqual([1, 1]);
  });
}
