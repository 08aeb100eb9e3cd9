import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EndedSessions, runOne, type SessionStore } from "../../../worker/session-store/session-store.ts";
import { ask, askAsClient, askAsService, createSession, problemOf } from "../../worker/routes/edge-client.ts";
import { count, register } from "../../worker/session-store/conformance/session-requests.ts";
import { type RedisHarness, startRedisHarness } from "../../worker/session-store/redis/redis-harness.ts";

describe("DELETE /v1/sessions", () => {
  it("ends every session of every user and says how many, and empties the isolate's cache", async () => {
    await askAsService("DELETE", "/v1/sessions?confirm=all");
    const [kim, lee] = [await createSession(), await createSession()];
    const check = () => askAsClient(kim.token, "/v1/check", { headers: { "Cache-Control": "max-age=5" } });
    expect((await check()).status).toBe(200);
    expect((await check()).headers.get("X-Check-Source")).toBe("edge");

    const ended = await askAsService("DELETE", "/v1/sessions?confirm=all");
    expect([ended.status, await ended.json()]).toEqual([200, { deleted: 2 }]);
    expect((await check()).status).toBe(401);
    expect((await askAsClient(lee.token, "/v1/session")).status).toBe(401);
    expect(await (await askAsService("GET", "/v1/count")).json()).toEqual({ sessions: 0, users: 0 });
  });

  it.each([
    "",
    "?confirm=",
    "?confirm=ALL",
    "?confirm=yes",
    "?confirm=all&confirm=all",
    "?all=confirm",
    "?confirm=all&user=kim",
  ])("ends no session with %j and names the field", async (query) => {
    const { sessid } = await createSession();
    const refused = await problemOf(await askAsService("DELETE", `/v1/sessions${query}`));
    expect(refused).toMatchObject({ status: 400, code: "invalid" });
    expect(refused.detail).toMatch(query.includes("user") ? /^user: / : /^(confirm|all): /);
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });

  it("requires an API key", async () => {
    const { sessid, token } = await createSession();
    expect((await ask("/v1/sessions?confirm=all", { method: "DELETE" })).status).toBe(401);
    expect((await askAsClient(token, "/v1/sessions?confirm=all", { method: "DELETE" })).status).toBe(401);
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });
});

describe("the end of every session in Redis", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  afterAll(() => harness.close());

  it("takes many short scripts, between which Redis serves others", async () => {
    const store = harness.open({ idleMs: 600_000, maxMs: 600_000 });
    for (let first = 1; first <= 2000; first += 500) {
      await store.run(
        Array.from({ length: 500 }, (_, index) => register(first + index, { user: `u${first + index}` })),
      );
    }
    await harness.command("CONFIG", "RESETSTAT");
    const { ended } = await endAllAt(store);
    // On a slow machine a response may be late: its repetition finds nothing left to end, and tells of nothing.
    expect(ended).toBeLessThanOrEqual(2000);
    const stats = await harness.command<string>("INFO", "commandstats");
    const scripts = Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]);
    expect(scripts).toBeGreaterThanOrEqual(2000 / 250);
    expect(await count(store)).toEqual([0, 0]);
    expect(await harness.faults()).toEqual([]);
  });

  it("is reported as incomplete if Redis does not respond", async () => {
    const store = harness.open();
    await runOne(store, register(1));
    await harness.command("REPLICAOF", "127.0.0.1", "1");
    expect(await harness.open({}, { deadlineMs: 300 }).endAll()).toEqual({ ended: 0, complete: false });
    await harness.command("REPLICAOF", "NO", "ONE");
    // redis-rest refuses until it has seen that its Redis is a primary again.
    expect(await endAllAt(store)).toEqual({ ended: 1, complete: true });
  });
});

/** Ends every session, as an operator does: again, until it is complete. */
async function endAllAt(store: SessionStore): Promise<EndedSessions> {
  let ended = 0;
  for (;;) {
    const result = await store.endAll();
    ended += result.ended;
    if (result.complete) return { ended, complete: true };
  }
}
