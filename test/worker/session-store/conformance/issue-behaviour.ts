import { afterEach, expect, it, vi } from "vitest";
import { splitToken, TOKEN_BYTES } from "../../../../protocol/session-token.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import { hashSecret } from "../../../../worker/session-store/secrets.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { expectSetTo } from "./clock-expectations.ts";
import { count, live, register } from "./session-requests.ts";

/** Sessions with a random sessid and a token. */
export function issueBehaviour(harnessOf: () => StoreHarness): void {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** Lets every draw of sessids begin with these. */
  function drawFirst(...sessids: number[]): void {
    const draw = crypto.getRandomValues.bind(crypto);
    vi.spyOn(crypto, "getRandomValues").mockImplementation((array) => {
      draw(array);
      if (array instanceof Int32Array) array.set(sessids);
      return array;
    });
  }

  it("issues a session whose token identifies it", async () => {
    const harness = harnessOf();
    const store = harness.open();
    const before = await harness.now();
    const issued = await runOne(store, { kind: "issue", user: "kim", ip: "10.0.0.1", grants: ["a"], idleMs: 60_000 });
    expect(issued.status).toBe(Status.Ok);
    expect(issued.token).toHaveLength(TOKEN_BYTES);
    expect(issued.expiresAt).toBeGreaterThanOrEqual(before + 60_000);
    const { sessid, secret } = splitToken(issued.token);
    expect(sessid).toBe(issued.sessid);
    expect(sessid).not.toBe(0);
    const secretHash = await hashSecret(secret);
    expect(await runOne(store, { kind: "identify", sessid, secretHash })).toMatchObject({
      status: Status.Ok,
      session: { sessid, user: "kim", ip: "10.0.0.1", grants: ["a"] },
    });
  });

  it("issues with the policy's idle time and every grant by default", async () => {
    const harness = harnessOf();
    const store = harness.open();
    let sessid = 0;
    await expectSetTo(harness, harness.idleMs, async () => {
      const issued = await runOne(store, { kind: "issue", user: "kim", ip: null });
      sessid = issued.sessid;
      return issued.expiresAt;
    });
    expect(await live(store, sessid)).toMatchObject({ grants: ["*"], ip: null });
  });

  it("issues different sessions and tokens in one batch", async () => {
    const store = harnessOf().open();
    const issues = Array.from({ length: 50 }, () => ({ kind: "issue", user: null, ip: null }) as const);
    const responses = await store.run(issues);
    const tokens = responses.map((response) => (response.kind === "issue" ? response.token.toString() : ""));
    expect(new Set(tokens).size).toBe(50);
    expect(await count(store)).toEqual([50, 0]);
  });

  it("skips sessids that are taken, whoever has them", async () => {
    const store = harnessOf().open();
    await store.run([register(101), register(102, { user: "lee" })]);
    drawFirst(101, 102, 103, 104);
    expect((await runOne(store, { kind: "issue", user: "kim", ip: null })).sessid).toBe(103);
    expect((await runOne(store, { kind: "issue", user: "kim", ip: null })).sessid).toBe(104);
    expect(await count(store)).toEqual([4, 2]);
  });

  it("is Unavailable when all drawn sessids are taken, and changes nothing", async () => {
    const store = harnessOf().open();
    await store.run([101, 102, 103, 104].map((sessid) => register(sessid)));
    drawFirst(101, 102, 103, 104);
    const refused = await runOne(store, { kind: "issue", user: "kim", ip: null });
    expect(refused).toMatchObject({ status: Status.Unavailable, sessid: 0, expiresAt: 0 });
    expect(await count(store)).toEqual([4, 1]);
  });

  it("never issues sessid 0", async () => {
    const store = harnessOf().open();
    drawFirst(0, 55);
    expect((await runOne(store, { kind: "issue", user: "kim", ip: null })).sessid).toBe(55);
  });
}
