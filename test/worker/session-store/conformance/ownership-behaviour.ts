import { expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { check, count, get, live, register } from "./session-requests.ts";

const HASH = "a".repeat(43);
const OTHER_HASH = "b".repeat(43);

/** Whose a session is: registering it again, and ending it. */
export function ownershipBehaviour(harnessOf: () => StoreHarness): void {
  it("returns a session as it was registered", async () => {
    const store = harnessOf().open();
    const { status, created, expiresAt } = await runOne(store, register(7, { ip: "10.0.0.1" }));
    expect([status, created]).toEqual([Status.Ok, true]);
    const session = await live(store, 7);
    expect(session).toEqual({
      sessid: 7,
      user: "kim",
      ip: "10.0.0.1",
      createdAt: session.createdAt,
      expiresAt,
      grants: ["*"],
    });
  });

  it("refreshes a session for its user: it replaces the ip, and keeps grants and token unless new ones are given", async () => {
    const store = harnessOf().open();
    await runOne(store, register(7, { ip: "10.0.0.1", grants: ["lobby", "room:*"], secretHash: HASH }));
    expect(await runOne(store, register(7))).toMatchObject({ status: Status.Ok, created: false });
    expect(await live(store, 7)).toMatchObject({ ip: null, grants: ["lobby", "room:*"] });
    const identify = (secretHash: string) => runOne(store, { kind: "identify", sessid: 7, secretHash });
    expect((await identify(HASH)).status).toBe(Status.Ok);

    await runOne(store, register(7, { ip: "10.0.0.2", grants: [], secretHash: OTHER_HASH }));
    expect(await live(store, 7)).toMatchObject({ ip: "10.0.0.2", grants: [] });
    expect((await identify(HASH)).status).toBe(Status.NotFound);
    expect((await identify(OTHER_HASH)).status).toBe(Status.Ok);
  });

  it.each([
    ["a secret", { secretHash: HASH }, {}],
    ["grants", { grants: ["lobby"] }, {}],
    ["a secret, given grants", { secretHash: HASH }, { grants: ["lobby"] }],
    ["grants, given a secret", { grants: ["lobby"] }, { secretHash: HASH }],
    ["both, given other grants", { secretHash: HASH, grants: [] }, { grants: ["lobby"] }],
    ["both, given another secret", { secretHash: OTHER_HASH, grants: ["lobby"] }, { secretHash: HASH }],
  ])("keeps of a session with %s what a refresh leaves open", async (_, first, second) => {
    const store = harnessOf().open();
    await store.run([register(7, { ip: "::1", ...first }), register(7, { ip: "10.0.0.2", ...second })]);
    const given = { ...first, ...second };
    const hash = "secretHash" in given ? HASH : OTHER_HASH;
    const identified = await runOne(store, { kind: "identify", sessid: 7, secretHash: hash });
    expect(identified.status).toBe("secretHash" in given ? Status.Ok : Status.NotFound);
    expect(await live(store, 7)).toMatchObject({ ip: "10.0.0.2", grants: "grants" in given ? ["lobby"] : ["*"] });
  });

  it.each([
    ["another user", "lee"],
    ["a user whose name begins the same", "ki"],
    ["a user whose name goes on", "kimchi"],
    ["nobody", null],
  ])("refuses a sessid to %s and changes nothing", async (_, user) => {
    const store = harnessOf().open();
    await runOne(store, register(7, { ip: "10.0.0.1", secretHash: HASH }));
    const before = await get(store, 7);
    const refused = await runOne(store, register(7, { user, secretHash: OTHER_HASH, grants: [] }));
    expect(refused).toEqual({ kind: "register", status: Status.Conflict, created: false, expiresAt: 0 });
    expect(await get(store, 7)).toEqual(before);
    expect(await count(store)).toEqual([1, 1]);
  });

  it("ends a session for its owner, not for another user, and not twice", async () => {
    const store = harnessOf().open();
    await runOne(store, register(7));
    const end = async (user: string) => (await runOne(store, { kind: "delete", sessid: 7, user })).status;
    expect(await end("lee")).toBe(Status.Denied);
    expect(await check(store, 7)).toBe(Status.Ok);
    expect(await end("kim")).toBe(Status.Ok);
    expect(await check(store, 7)).toBe(Status.NotFound);
    expect(await end("kim")).toBe(Status.NotFound);
  });

  it("ends a session for a caller with its secret, and for a service that names no owner", async () => {
    const store = harnessOf().open();
    await store.run([register(7, { secretHash: HASH }), register(8)]);
    const end = async (sessid: number, secretHash?: string) =>
      (await runOne(store, { kind: "delete", sessid, ...(secretHash === undefined ? {} : { secretHash }) })).status;
    expect(await end(7, OTHER_HASH)).toBe(Status.Denied);
    expect(await end(8, HASH)).toBe(Status.Denied);
    expect(await end(7, HASH)).toBe(Status.Ok);
    expect(await end(8)).toBe(Status.Ok);
    expect(await count(store)).toEqual([0, 0]);
  });

  it("refuses an anonymous session to every user", async () => {
    const store = harnessOf().open();
    await runOne(store, register(7, { user: null, grants: [] }));
    expect(await live(store, 7)).toMatchObject({ user: null, grants: [] });
    expect((await runOne(store, register(7, { user: "kim" }))).status).toBe(Status.Conflict);
    expect((await runOne(store, { kind: "delete", sessid: 7, user: "kim" })).status).toBe(Status.Denied);
    expect((await runOne(store, { kind: "delete", sessid: 7 })).status).toBe(Status.Ok);
    expect(await count(store)).toEqual([0, 0]);
  });

  it("lists and revokes all sessions of one user, the oldest first", async () => {
    const harness = harnessOf();
    const store = harness.open();
    for (const sessid of [3, -1, 2]) {
      await runOne(store, register(sessid));
      await harness.advance(2);
    }
    await runOne(store, register(9, { user: "lee" }));
    const listed = (await runOne(store, { kind: "listUser", user: "kim" })).sessions;
    expect(listed.map(({ sessid }) => sessid)).toEqual([3, -1, 2]);
    expect(listed[1]).toEqual(await get(store, -1));
    expect((await runOne(store, { kind: "deleteUser", user: "kim" })).deleted).toBe(3);
    expect((await runOne(store, { kind: "listUser", user: "kim" })).sessions).toEqual([]);
    expect((await runOne(store, { kind: "deleteUser", user: "kim" })).deleted).toBe(0);
    expect(await check(store, 9)).toBe(Status.Ok);
    expect(await count(store)).toEqual([1, 1]);
  });

  it("revokes all sessions of one user but one, if that is the user's", async () => {
    const harness = harnessOf();
    const store = harness.open();
    await store.run([register(1), register(2), register(3), register(9, { user: "lee" })]);
    const kept = await get(store, 2);
    const endAllBut = async (except: number) =>
      (await runOne(store, { kind: "deleteUser", user: "kim", except })).deleted;
    expect(await endAllBut(2)).toBe(2);
    expect(await get(store, 2)).toEqual(kept);
    expect(await count(store)).toEqual([2, 2]);
    expect(await endAllBut(2)).toBe(0);
    expect(await harness.faults()).toEqual([]);
    expect(await endAllBut(9)).toBe(1);
    expect(await check(store, 9)).toBe(Status.Ok);
    expect(await count(store)).toEqual([1, 1]);
    expect(await harness.faults()).toEqual([]);
  });
}
