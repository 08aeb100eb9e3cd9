import fc from "fast-check";
import { expect, it } from "vitest";
import type { RegisterRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { EvictingModel } from "./evicting-model.ts";
import { count, live, register, sessidsOf } from "./session-requests.ts";

/** Nothing expires while a slow machine runs a sequence. */
const LONG_IDLE_MS = 3_600_000;
const CAP = 2;
const OK_NEW = { status: Status.Ok, created: true };
const OK_AGAIN = { status: Status.Ok, created: false };

/** Registers of one batch that meet each other. */
export function registerBatchBehaviour(harnessOf: () => StoreHarness): void {
  const openEvicting = () => harnessOf().open({ maxSessionsPerUser: CAP, limitPolicy: "evict-oldest" });
  const run = (store: SessionStore, ...requests: RegisterRequest[]) => store.run(requests);

  it("refresh a session that comes twice: the second wins, and what it leaves open stays", async () => {
    const store = harnessOf().open();
    const hash = "a".repeat(43);
    const first = register(1, { ip: "10.0.0.1", idleMs: 60_000, secretHash: hash, grants: ["room:a"] });
    expect(await run(store, first, register(1, { ip: "::1" }))).toMatchObject([OK_NEW, OK_AGAIN]);
    const session = await live(store, 1);
    expect(session).toMatchObject({ ip: "::1", grants: ["room:a"], expiresAt: session.createdAt + 60_000 });
    const [identified] = await store.run([{ kind: "identify", sessid: 1, secretHash: hash }]);
    expect(identified?.status).toBe(Status.Ok);
    expect(await count(store)).toEqual([1, 1]);
    expect(await harnessOf().faults()).toEqual([]);
  });

  it.each([
    ["longer", [500, 60_000], [1, 1]],
    ["shorter", [60_000, 500], [0, 0]],
  ])("count the expiry of the second where it is %s", async (_, [firstMs, secondMs], counted) => {
    const store = harnessOf().open();
    await run(store, register(1, { idleMs: firstMs ?? 0 }), register(1, { idleMs: secondMs ?? 0 }));
    await harnessOf().advance(500);
    expect(await count(store)).toEqual(counted);
  });

  it("count a user's sessions of the same batch against the cap", async () => {
    const store = harnessOf().open({ maxSessionsPerUser: CAP });
    const lee = register(4, { user: "lee" });
    const statuses = (await store.run([register(1), register(2), register(3), lee, register(1)])).map((r) => r.status);
    expect(statuses).toEqual([Status.Ok, Status.Ok, Status.TooMany, Status.Ok, Status.Ok]);
    expect(await count(store)).toEqual([3, 2]);
  });

  it("evict a session of the same batch, and create it again", async () => {
    const store = openEvicting();
    expect(await run(store, register(1), register(2), register(3), register(1))).toMatchObject(
      Array.from({ length: 4 }, () => OK_NEW),
    );
    expect(await sessidsOf(store, "kim")).toEqual([1, 3]);
    expect(await count(store)).toEqual([2, 1]);
    expect(await harnessOf().faults()).toEqual([]);
  });

  it("give a sessid that the same batch evicted to another user", async () => {
    const store = openEvicting();
    await run(store, register(1), register(2), register(3), register(1, { user: "lee" }));
    expect(await sessidsOf(store, "kim")).toEqual([2, 3]);
    expect(await sessidsOf(store, "lee")).toEqual([1]);
    expect(await count(store)).toEqual([3, 2]);
    expect(await harnessOf().faults()).toEqual([]);
  });

  it("ignore a session that has expired, also in the cap", async () => {
    const store = harnessOf().open({ maxSessionsPerUser: 1 });
    await run(store, register(1, { idleMs: 500 }));
    await harnessOf().advance(500);
    const requests = [register(1, { user: "lee" }), register(2), register(1), register(3, { user: "lee" })];
    expect(await store.run(requests)).toMatchObject([
      OK_NEW,
      OK_NEW,
      { status: Status.Conflict },
      { status: Status.TooMany },
    ]);
    expect(await count(store)).toEqual([2, 2]);
  });

  it("get the responses of a model in random batches, with eviction, and keep the indices exact", async () => {
    const harness = harnessOf();
    const store = harness.open({
      idleMs: LONG_IDLE_MS,
      maxMs: 2 * LONG_IDLE_MS,
      maxSessionsPerUser: CAP,
      limitPolicy: "evict-oldest",
    });
    const property = fc.asyncProperty(registerBatches, async (sequence) => {
      await harness.clear();
      const model = new EvictingModel(CAP);
      for (const batch of sequence) {
        expect(await store.run(batch)).toMatchObject(model.register(batch));
        // Sessions of different batches are told apart by their age.
        await harness.advance(1);
      }
      for (const user of USERS) expect((await sessidsOf(store, user)).sort()).toEqual(model.sessidsOf(user).sort());
      expect((await count(store))[0]).toBe(model.size);
      expect(await harness.faults()).toEqual([]);
    });
    await fc.assert(property, { numRuns: 40 });
  });
}

const USERS = ["kim", "lee"];
const registers = fc
  .record(
    {
      sessid: fc.constantFrom(1, 2, 3, 9, 10, -5),
      user: fc.constantFrom(...USERS, null),
      idleMs: fc.constantFrom(LONG_IDLE_MS / 2, 2 * LONG_IDLE_MS),
    },
    { requiredKeys: ["sessid", "user"] },
  )
  .map(({ sessid, ...choice }) => register(sessid, choice));
const registerBatches = fc.array(fc.array(registers, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 5 });
