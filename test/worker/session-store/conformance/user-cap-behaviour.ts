import { expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { count, register, sessidsOf } from "./session-requests.ts";

const CONCURRENT = 50;
const CAP = 5;

/** How many sessions a user may have. */
export function userCapBehaviour(harnessOf: () => StoreHarness): void {
  async function registerConcurrently(limitPolicy: "reject" | "evict-oldest"): Promise<number[]> {
    const store = harnessOf().open({ maxSessionsPerUser: CAP, limitPolicy });
    const sessids = Array.from({ length: CONCURRENT }, (_, index) => index + 1);
    return Promise.all(sessids.map(async (sessid) => (await runOne(store, register(sessid))).status));
  }

  it("rejects sessions over the cap, with 50 registers at once", async () => {
    const statuses = await registerConcurrently("reject");
    expect(statuses.filter((status) => status === Status.Ok)).toHaveLength(CAP);
    expect(statuses.filter((status) => status === Status.TooMany)).toHaveLength(CONCURRENT - CAP);
    const store = harnessOf().open();
    expect(await sessidsOf(store, "kim")).toHaveLength(CAP);
    expect(await count(store)).toEqual([CAP, 1]);
  });

  it("evicts down to the cap, with 50 registers at once", async () => {
    const statuses = await registerConcurrently("evict-oldest");
    expect(statuses).toEqual(Array.from({ length: CONCURRENT }, () => Status.Ok));
    const store = harnessOf().open();
    expect(await sessidsOf(store, "kim")).toHaveLength(CAP);
    expect(await count(store)).toEqual([CAP, 1]);
  });

  it("evicts the session that was created first, however it was used or refreshed since", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxSessionsPerUser: 3, limitPolicy: "evict-oldest" });
    for (const sessid of [10, 20, 30]) {
      await runOne(store, register(sessid, { idleMs: 60_000 - sessid }));
      await harness.advance(2);
    }
    await runOne(store, { kind: "check", sessid: 20 });
    await harness.settle();
    await runOne(store, register(10));
    await harness.advance(2);
    await runOne(store, register(40));
    expect(await sessidsOf(store, "kim")).toEqual([30, 10, 40]);
  });

  it("evicts the smallest sessid of those created in the same millisecond", async () => {
    const store = harnessOf().open({ maxSessionsPerUser: 3, limitPolicy: "evict-oldest" });
    await store.run([register(10), register(9), register(-1)]);
    await runOne(store, register(11));
    expect((await sessidsOf(store, "kim")).sort()).toEqual([10, 11, 9]);
    await runOne(store, register(12));
    expect((await sessidsOf(store, "kim")).sort()).toEqual([10, 11, 12]);
  });

  it("counts a user only as long as the session that replaced a longer one", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxSessionsPerUser: 1, limitPolicy: "evict-oldest" });
    await runOne(store, register(1, { idleMs: 60_000 }));
    await runOne(store, register(2, { idleMs: 500 }));
    await harness.advance(500);
    expect(await count(store)).toEqual([0, 0]);
  });

  it("evicts down to a cap that was lowered", async () => {
    const harness = harnessOf();
    const uncapped = harness.open();
    for (const sessid of [1, 2, 3, 4]) {
      await runOne(uncapped, register(sessid));
      await harness.advance(2);
    }
    const capped = harness.open({ maxSessionsPerUser: 2, limitPolicy: "evict-oldest" });
    await runOne(capped, register(5));
    expect(await sessidsOf(capped, "kim")).toEqual([4, 5]);
    expect(await count(capped)).toEqual([2, 1]);
  });

  it("counts issues against the cap, but no refresh, no other user and no anonymous session", async () => {
    const store = harnessOf().open({ maxSessionsPerUser: 1 });
    const status = async (...[request]: Parameters<typeof runOne>[1][]) =>
      request === undefined ? undefined : (await runOne(store, request)).status;
    expect(await status(register(1))).toBe(Status.Ok);
    expect(await status(register(1))).toBe(Status.Ok);
    expect(await status(register(2))).toBe(Status.TooMany);
    expect(await status({ kind: "issue", user: "kim", ip: null })).toBe(Status.TooMany);
    expect(await status(register(2, { user: "lee" }))).toBe(Status.Ok);
    expect(await status(register(3, { user: null }))).toBe(Status.Ok);
    expect(await status(register(4, { user: null }))).toBe(Status.Ok);
    expect(await count(store)).toEqual([4, 2]);
  });

  it("has room again after a delete and after an expiry", async () => {
    const harness = harnessOf();
    const store = harness.open({ maxSessionsPerUser: 2 });
    const [short] = await Promise.all([
      runOne(store, register(1, { idleMs: 500 })),
      runOne(store, register(2, { idleMs: 60_000 })),
    ]);
    await harness.advance(short.expiresAt - (await harness.now()));
    expect((await runOne(store, register(3, { idleMs: 60_000 }))).status).toBe(Status.Ok);
    expect((await runOne(store, register(4))).status).toBe(Status.TooMany);
    await runOne(store, { kind: "delete", sessid: 2 });
    expect((await runOne(store, register(4))).status).toBe(Status.Ok);
  });
}
