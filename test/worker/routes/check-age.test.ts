import { describe, expect, it, vi } from "vitest";
import { askAsClient, askAsService, type Created, createSession } from "./edge-client.ts";

const TAKES_OLD = { "Cache-Control": "max-age=5" };

describe("/v1/check with max-age", () => {
  it("is answered from the store without it, and from the edge's cache with it", async () => {
    const { token } = await createSession();
    expect(whence(await askAsClient(token, "/v1/check"))).toEqual([200, "store", "0"]);
    const again = await askAsClient(token, "/v1/check", { headers: TAKES_OLD });
    expect(whence(again)).toEqual([200, "edge", expect.stringMatching(/^[0-5]$/)]);
    expect(again.headers.get("Cache-Control")).toBe("no-store");
    expect(whence(await askAsClient(token, "/v1/check", { headers: { "Cache-Control": "max-age=0" } }))[1]).toBe(
      "store",
    );
    expect(whence(await askAsClient(token, "/v1/check"))[1]).toBe("store");
  });

  it("tells the age of a cached response, which grows until the store is asked again", async () => {
    const { token } = await createSession();
    await remember(token);
    const fromMemory = async () => whence(await askAsClient(token, "/v1/check", { headers: TAKES_OLD }));
    expect((await fromMemory())[0]).toBe(200);
    await vi.waitUntil(
      async () => {
        const [, source, age] = await fromMemory();
        return source === "edge" && Number(age) >= 1;
      },
      { interval: 100, timeout: 30_000 },
    );
  });

  it("gives the same verdicts and the same user from the cache", async () => {
    const { token, sessid, user } = await createSession({ grants: ["/shop/*"] });
    await remember(token);
    const shop = await askAsClient(token, "/v1/check?resource=/shop/cart", { headers: TAKES_OLD });
    expect(shop.headers.get("X-Session-User")).toBe(encodeURIComponent(user));
    expect(shop.headers.get("X-Session-Id")).toBe(String(sessid));
    expect(whence(shop).slice(0, 2)).toEqual([200, "edge"]);
    const admin = await askAsClient(token, "/v1/check?resource=/admin", { headers: TAKES_OLD });
    expect(whence(admin).slice(0, 2)).toEqual([403, "edge"]);
  });

  it("gives each of many concurrent clients a complete response of its own", async () => {
    const sessions = await Promise.all([createSession(), createSession()]);
    for (const { token } of sessions) await remember(token);
    const asked = Array.from({ length: 20 }, () =>
      sessions.flatMap(({ token, sessid, user }) =>
        ["GET", "HEAD", "POST", "OPTIONS"].map(async (method) => {
          const answer = await askAsClient(token, "/v1/check", { method, headers: TAKES_OLD });
          expect(whence(answer).slice(0, 2)).toEqual([200, "edge"]);
          expect(answer.headers.get("X-Session-Id")).toBe(String(sessid));
          expect(answer.headers.get("X-Session-User")).toBe(encodeURIComponent(user));
          expect(await answer.text()).toBe("");
        }),
      ),
    );
    await Promise.all(asked.flat());
  });

  it("does not find a cached session by its sessid with another secret", async () => {
    const { token } = await createSession();
    await remember(token);
    const forged = `${token.slice(0, 8)}${"C".repeat(18)}A`;
    expect(whence(await askAsClient(forged, "/v1/check", { headers: TAKES_OLD })).slice(0, 2)).toEqual([401, "store"]);
    expect(whence(await askAsClient(token, "/v1/check", { headers: TAKES_OLD })).slice(0, 2)).toEqual([200, "edge"]);
  });

  it("does not cache that a session was not found", async () => {
    const { token, sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    for (let round = 0; round < 2; round++) {
      const refused = await askAsClient(token, "/v1/check", { headers: TAKES_OLD });
      expect(whence(refused)).toEqual([401, "store", "0"]);
    }
  });

  const revokes: [string, (session: Created) => Promise<Response>][] = [
    ["a service's delete", ({ sessid }) => askAsService("DELETE", `/v1/sessions/${sessid}`)],
    [
      "the end of all of the user's",
      ({ user }) => askAsService("DELETE", `/v1/users/${encodeURIComponent(user)}/sessions`),
    ],
    ["a logout", ({ token }) => askAsClient(token, "/v1/session", { method: "DELETE" })],
    ["a new token", ({ sessid, user }) => askAsService("POST", "/v1/sessions", { user, sessid })],
  ];
  it.each(revokes)("sees %s in the next request", async (_, revoke) => {
    const session = await createSession();
    await remember(session.token);
    expect((await revoke(session)).ok).toBe(true);
    const refused = await askAsClient(session.token, "/v1/check", { headers: TAKES_OLD });
    expect(whence(refused)).toEqual([401, "store", "0"]);
  });

  it("sees in the next request that a refresh has removed grants", async () => {
    const { token, sessid, user } = await createSession();
    await remember(token);
    const refreshed = await askAsService("POST", "/v1/sessions", { user, sessid, grants: ["/shop/*"] });
    const { token: next } = await refreshed.json<Created>();
    expect((await askAsClient(next, "/v1/check?resource=/admin", { headers: TAKES_OLD })).status).toBe(403);
  });
});

/** Lets the edge learn of the session. */
async function remember(token: string): Promise<void> {
  await askAsClient(token, "/v1/check");
  const known = await askAsClient(token, "/v1/check", { headers: TAKES_OLD });
  expect(known.headers.get("X-Check-Source")).toBe("edge");
}

function whence(response: Response): [status: number, source: string | null, age: string | null] {
  return [response.status, response.headers.get("X-Check-Source"), response.headers.get("Age")];
}
