import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { askAsClient, askAsService, type Created, createSession } from "./edge-client.ts";

const ACCEPTS_OLD = { "Cache-Control": "max-age=5" };

// The clock stands still, so that no cached response gets old by itself.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("/v1/check with max-age", () => {
  it("is answered from the store without it, and from the edge's cache with it", async () => {
    const { token } = await createSession();
    expect(provenanceOf(await askAsClient(token, "/v1/check"))).toEqual([200, "store", "0"]);
    const again = await askAsClient(token, "/v1/check", { headers: ACCEPTS_OLD });
    expect(provenanceOf(again)).toEqual([200, "edge", "0"]);
    expect(again.headers.get("Cache-Control")).toBe("no-store");
    expect(provenanceOf(await askAsClient(token, "/v1/check", { headers: { "Cache-Control": "max-age=0" } }))[1]).toBe(
      "store",
    );
    expect(provenanceOf(await askAsClient(token, "/v1/check"))[1]).toBe("store");
  });

  it("tells the age of a cached response, which grows until the store is asked again", async () => {
    const { token } = await createSession();
    await cacheSession(token);
    const fromCache = async () => provenanceOf(await askAsClient(token, "/v1/check", { headers: ACCEPTS_OLD }));
    for (const age of ["0", "1", "2", "3", "4", "5"]) {
      expect(await fromCache()).toEqual([200, "edge", age]);
      vi.setSystemTime(Date.now() + 1000);
    }
    expect(await fromCache()).toEqual([200, "store", "0"]);
  });

  it("gives the same verdicts and the same user from the cache", async () => {
    const { token, sessid, user } = await createSession({ grants: ["/shop/*"] });
    await cacheSession(token);
    const shop = await askAsClient(token, "/v1/check?resource=/shop/cart", { headers: ACCEPTS_OLD });
    expect(shop.headers.get("X-Session-User")).toBe(encodeURIComponent(user));
    expect(shop.headers.get("X-Session-Id")).toBe(String(sessid));
    expect(provenanceOf(shop).slice(0, 2)).toEqual([200, "edge"]);
    const admin = await askAsClient(token, "/v1/check?resource=/admin", { headers: ACCEPTS_OLD });
    expect(provenanceOf(admin).slice(0, 2)).toEqual([403, "edge"]);
  });

  it("gives each of many concurrent clients a complete response of its own", async () => {
    const sessions = await Promise.all([createSession(), createSession()]);
    for (const { token } of sessions) await cacheSession(token);
    const asked = Array.from({ length: 20 }, () =>
      sessions.flatMap(({ token, sessid, user }) =>
        ["GET", "HEAD", "POST", "OPTIONS"].map(async (method) => {
          const response = await askAsClient(token, "/v1/check", { method, headers: ACCEPTS_OLD });
          expect(provenanceOf(response).slice(0, 2)).toEqual([200, "edge"]);
          expect(response.headers.get("X-Session-Id")).toBe(String(sessid));
          expect(response.headers.get("X-Session-User")).toBe(encodeURIComponent(user));
          expect(await response.text()).toBe("");
        }),
      ),
    );
    await Promise.all(asked.flat());
  });

  it("does not find a cached session by its sessid with another secret", async () => {
    const { token } = await createSession();
    await cacheSession(token);
    const forged = `${token.slice(0, 8)}${"C".repeat(18)}A`;
    expect(provenanceOf(await askAsClient(forged, "/v1/check", { headers: ACCEPTS_OLD })).slice(0, 2)).toEqual([
      401,
      "store",
    ]);
    expect(provenanceOf(await askAsClient(token, "/v1/check", { headers: ACCEPTS_OLD })).slice(0, 2)).toEqual([
      200,
      "edge",
    ]);
  });

  it("does not cache that a session was not found", async () => {
    const { token, sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    for (let round = 0; round < 2; round++) {
      const refused = await askAsClient(token, "/v1/check", { headers: ACCEPTS_OLD });
      expect(provenanceOf(refused)).toEqual([401, "store", "0"]);
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
    await cacheSession(session.token);
    expect((await revoke(session)).ok).toBe(true);
    const refused = await askAsClient(session.token, "/v1/check", { headers: ACCEPTS_OLD });
    expect(provenanceOf(refused)).toEqual([401, "store", "0"]);
  });

  it("sees in the next request that a refresh has removed grants", async () => {
    const { token, sessid, user } = await createSession();
    await cacheSession(token);
    const refreshed = await askAsService("POST", "/v1/sessions", { user, sessid, grants: ["/shop/*"] });
    const { token: next } = await refreshed.json<Created>();
    expect((await askAsClient(next, "/v1/check?resource=/admin", { headers: ACCEPTS_OLD })).status).toBe(403);
  });
});

/** Puts the session into the edge's cache. */
async function cacheSession(token: string): Promise<void> {
  await askAsClient(token, "/v1/check");
  const cached = await askAsClient(token, "/v1/check", { headers: ACCEPTS_OLD });
  expect(cached.headers.get("X-Check-Source")).toBe("edge");
}

/** The status of a response, where it comes from, and its age. */
function provenanceOf(response: Response): [status: number, source: string | null, age: string | null] {
  return [response.status, response.headers.get("X-Check-Source"), response.headers.get("Age")];
}
