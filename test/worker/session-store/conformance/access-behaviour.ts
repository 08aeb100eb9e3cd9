import { expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { live, register, sessidsOf } from "./session-requests.ts";

const HASH = "a".repeat(43);

/** Grants, and the names that a store must be able to hold. */
export function accessBehaviour(harnessOf: () => StoreHarness): void {
  it.each([
    [undefined, "anything", Status.Ok],
    [["*"], "anything", Status.Ok],
    [[], "anything", Status.Denied],
    [["room:lobby"], "room:lobby", Status.Ok],
    [["room:lobby"], "room:lobby2", Status.Denied],
    [["room:*", "shop"], "room:lobby", Status.Ok],
    [["room:*", "shop"], "shop", Status.Ok],
    [["room:*", "shop"], "rooms", Status.Denied],
  ])("with the grants %j, an access check of %s returns status %i", async (grants, resource, status) => {
    const store = harnessOf().open();
    await runOne(store, register(1, { secretHash: HASH, ...(grants === undefined ? {} : { grants }) }));
    expect(await runOne(store, { kind: "checkAccess", sessid: 1, resource })).toEqual({ kind: "checkAccess", status });
    const session = await live(store, 1);
    expect(await runOne(store, { kind: "identify", sessid: 1, secretHash: HASH, resource })).toEqual({
      kind: "identify",
      status,
      session: { ...session, expiresAt: expect.any(Number) },
    });
  });

  it("returns NotFound to an access check of a session that does not live", async () => {
    const store = harnessOf().open();
    expect(await runOne(store, { kind: "checkAccess", sessid: 1, resource: "a" })).toMatchObject({
      status: Status.NotFound,
    });
  });

  it("identifies nobody by a wrong secret, or for a session without a token", async () => {
    const store = harnessOf().open();
    await store.run([register(1, { secretHash: HASH }), register(2)]);
    for (const [sessid, secretHash] of [
      [1, "b".repeat(43)],
      [1, "a"],
      [1, ""],
      [2, HASH],
      [2, ""],
      [3, HASH],
    ] as const) {
      const response = await runOne(store, { kind: "identify", sessid, secretHash });
      expect(response).toEqual({ kind: "identify", status: Status.NotFound, session: null });
    }
  });

  it.each([
    ["김철수", "2001:db8::1", ["방:*"]],
    ["👩‍🚀 Zoë\u0301", "::1", ["🎮"]],
    ['quote " back \\ slash / tab \t', "10.0.0.1", ['"', "\\", '","g":["*"]']],
    [`x","h":"${"c".repeat(43)}`, "::ffff:10.0.0.1", [`","h":"${"c".repeat(43)}`]],
    ['","u":"lee', null, ['{"e":1763701800000']],
    ["null", null, ["]}"]],
    ["%s %d %.0f \\u0041", null, ["%d*"]],
    ["x".repeat(128), null, Array.from({ length: 64 }, (_, index) => `grant-${index}`)],
  ])("keeps user %j from %s with grants %j as they are", async (user, ip, grants) => {
    const harness = harnessOf();
    const store = harness.open();
    await runOne(store, register(1, { user, ip, grants, secretHash: HASH }));
    await harness.advance(2);
    await store.run([{ kind: "check", sessid: 1 }]);
    await harness.settle();
    await runOne(store, register(1, { user, ip }));
    expect(await live(store, 1)).toMatchObject({ user, ip, grants });
    expect((await runOne(store, { kind: "identify", sessid: 1, secretHash: HASH })).status).toBe(Status.Ok);
    expect((await runOne(store, { kind: "identify", sessid: 1, secretHash: "c".repeat(43) })).status).toBe(
      Status.NotFound,
    );
    expect(await sessidsOf(store, user)).toEqual([1]);
    expect((await runOne(store, { kind: "delete", sessid: 1, user })).status).toBe(Status.Ok);
  });

  it.each([1, -1, 2 ** 31 - 1, -(2 ** 31)])("keeps a session under sessid %i", async (sessid) => {
    const store = harnessOf().open();
    await runOne(store, register(sessid));
    expect((await live(store, sessid)).sessid).toBe(sessid);
    expect(await sessidsOf(store, "kim")).toEqual([sessid]);
  });
}
