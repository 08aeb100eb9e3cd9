import { expect, it } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import type { StoreHarness } from "../store-harness.ts";
import { check, count, register } from "./session-requests.ts";

/** Requests of one run take effect, and are answered, in their order. */
export function batchBehaviour(harnessOf: () => StoreHarness): void {
  const statusesOf = async (requests: readonly SessionRequest[]) =>
    (await harnessOf().open().run(requests)).map(({ status }) => status);

  it("returns no response for no request", async () => {
    expect(await harnessOf().open().run([])).toEqual([]);
  });

  it("runs register, check, delete and check of one session in their order", async () => {
    const checkSeven = { kind: "check", sessid: 7 } as const;
    expect(
      await statusesOf([checkSeven, register(7), checkSeven, { kind: "delete", sessid: 7, user: "kim" }, checkSeven]),
    ).toEqual([Status.NotFound, Status.Ok, Status.Ok, Status.Ok, Status.NotFound]);
  });

  it("gives each request a response of its kind, in its place", async () => {
    const requests: SessionRequest[] = [
      { kind: "count" },
      register(1),
      register(2, { user: "lee" }),
      { kind: "count" },
      { kind: "check", sessid: 1 },
      { kind: "get", sessid: 2 },
      { kind: "checkAccess", sessid: 3, resource: "a" },
      { kind: "listUser", user: "lee" },
      { kind: "issue", user: "kim", ip: null },
      { kind: "identify", sessid: 1, secretHash: "a".repeat(43) },
      { kind: "deleteUser", user: "kim" },
      { kind: "delete", sessid: 2 },
      { kind: "count" },
    ];
    const responses = await harnessOf().open().run(requests);
    expect(responses.map(({ kind }) => kind)).toEqual(requests.map(({ kind }) => kind));
    expect(responses).toMatchObject([
      { sessions: 0, users: 0 },
      { created: true },
      { created: true },
      { sessions: 2, users: 2 },
      { status: Status.Ok },
      { session: { user: "lee" } },
      { status: Status.NotFound },
      { sessions: [{ sessid: 2 }] },
      { status: Status.Ok },
      { status: Status.NotFound },
      { deleted: 2 },
      { status: Status.Ok },
      { sessions: 0, users: 0 },
    ]);
  });

  it("gives a sessid to the first of two users in a batch", async () => {
    expect(await statusesOf([register(1), register(1, { user: "lee" }), register(1)])).toEqual([
      Status.Ok,
      Status.Conflict,
      Status.Ok,
    ]);
  });

  it("runs 1,000 checks in their order, with the same sessid more than once", async () => {
    const store = harnessOf().open({ touchIntervalMs: 60_000 });
    await store.run(Array.from({ length: 300 }, (_, index) => register(3 * index + 1, { idleMs: 600_000 })));
    const sessids = Array.from({ length: 1000 }, (_, index) => (index * 7919) % 900);
    const responses = await store.run(sessids.map((sessid) => ({ kind: "check", sessid })));
    expect(responses.map(({ status }) => status)).toEqual(
      sessids.map((sessid) => (sessid % 3 === 1 ? Status.Ok : Status.NotFound)),
    );
  });

  it("takes more requests of one kind than fit into one call of a script", async () => {
    const store = harnessOf().open();
    const registers = Array.from({ length: 250 }, (_, index) => register(index + 1, { user: null, idleMs: 600_000 }));
    expect((await store.run(registers)).every((response) => response.status === Status.Ok)).toBe(true);
    const checks = Array.from({ length: 1500 }, (_, index) => ({ kind: "check", sessid: index + 1 }) as const);
    const live = (await store.run(checks)).filter(({ status }) => status === Status.Ok);
    expect(live).toHaveLength(250);
    expect(await count(store)).toEqual([250, 0]);
  });

  it("never recreates a deleted session by a touch that races the delete", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const sessids = Array.from({ length: 40 }, (_, index) => index + 1);
    await store.run(sessids.map((sessid) => register(sessid, { user: `user-${sessid % 7}` })));
    await harness.advance(5);
    await Promise.all(
      sessids.flatMap((sessid) => [
        check(store, sessid),
        store.run([
          { kind: "delete", sessid },
          { kind: "check", sessid },
        ]),
        check(store, sessid),
      ]),
    );
    await harness.settle();
    expect(await Promise.all(sessids.map((sessid) => check(store, sessid)))).toEqual(
      sessids.map(() => Status.NotFound),
    );
    expect(await count(store)).toEqual([0, 0]);
  });

  it("does not change a session that began anew when the touch of an older check comes", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1, { idleMs: 60_000 })]);
    await harness.advance(5);
    const [, , , got] = await store.run([
      { kind: "check", sessid: 1 },
      { kind: "delete", sessid: 1 },
      register(1, { user: "lee", idleMs: 30_000 }),
      { kind: "get", sessid: 1 },
    ]);
    await harness.settle();
    expect(await store.run([{ kind: "get", sessid: 1 }])).toEqual([got]);
  });
}
