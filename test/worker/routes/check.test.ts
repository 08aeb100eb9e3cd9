import { describe, expect, it } from "vitest";
import { ask, askAsClient, askAsService, createSession, newUser, problemOf } from "./edge-client.ts";

describe("/v1/check", () => {
  it.each(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])(
    "allows with %s and names the session and the user",
    async (method) => {
      const user = `${newUser()} 아서`;
      const { token, sessid } = await createSession({ user });
      const response = await askAsClient(token, "/v1/check", { method });
      expect(response.status).toBe(200);
      expect(response.headers.get("X-Session-Id")).toBe(String(sessid));
      expect(response.headers.get("X-Session-User")).toBe(encodeURIComponent(user));
      expect(response.headers.get("Age")).toBe("0");
      expect(response.headers.get("Cache-Control")).toBe("no-store");
      expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
      expect(response.headers.get("X-Check-Source")).toBe("store");
      expect(await response.text()).toBe("");
    },
  );

  it("takes the token from the cookie if the Authorization is no session token", async () => {
    const { token } = await createSession();
    const headers = { Cookie: `a=b; __Host-sid=${token}`, Authorization: "Basic a2ltOnB3" };
    expect((await ask("/v1/check", { headers })).status).toBe(200);
  });

  it.each([
    ["nothing", {}],
    ["a truncated token", { Authorization: `Bearer ${"A".repeat(26)}` }],
    ["a made-up token", { Authorization: `Bearer ${"A".repeat(26)}A` }],
    ["an API key", { Authorization: "Bearer test-key-0123456789-0123456789-01" }],
    ["a made-up cookie", { Cookie: `__Host-sid=${"B".repeat(26)}A` }],
  ])("responds with 401 to %s", async (_, headers) => {
    const refused = await ask("/v1/check", { headers });
    expect(refused.headers.get("WWW-Authenticate")).toContain("Bearer");
    expect(refused.headers.has("X-Session-Id")).toBe(false);
    expect(refused.headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(refused.headers.get("Content-Security-Policy")).toContain("frame-ancestors 'none'");
    expect(await problemOf(refused)).toMatchObject({ status: 401, code: "unauthenticated" });
  });

  it("responds with 401 to the right sessid with another secret", async () => {
    const { token } = await createSession();
    const last = token.at(-2) === "A" ? "B" : "A";
    const forged = token.slice(0, 25) + last + token.slice(26);
    expect((await askAsClient(forged, "/v1/check")).status).toBe(401);
    expect((await askAsClient(token, "/v1/check")).status).toBe(200);
  });

  it("responds with 403 to a resource that the grants do not allow", async () => {
    const { token } = await createSession({ grants: ["/shop/*", "room:lobby"] });
    const status = async (path: string, headers: Record<string, string> = {}) =>
      (await askAsClient(token, path, { headers })).status;
    expect(await status("/v1/check")).toBe(200);
    expect(await status("/v1/check?resource=room%3Alobby")).toBe(200);
    expect(await status("/v1/check?resource=room%3Aattic")).toBe(403);
    expect(await status("/v1/check?resource=/shop/cart")).toBe(200);
    expect(await status("/v1/check?resource=/admin")).toBe(403);
    expect(await status("/v1/check", { "X-Original-URI": "/shop/a?b=c" })).toBe(200);
    expect(await status("/v1/check", { "X-Original-URI": "/shop/../admin" })).toBe(403);
    expect(await status("/v1/check", { "X-Forwarded-Uri": "/admin" })).toBe(403);
    expect(await status("/v1/check", { "X-Forwarded-Uri": "/shop/", "X-Original-URI": "/shop/" })).toBe(403);
  });

  it("responds with 403 to every request below its path", async () => {
    const { token } = await createSession();
    for (const path of ["/v1/check/", "/v1/check/shop", "/v1/check/healthz?resource=/shop", "/v1/check//"]) {
      expect([path, (await askAsClient(token, path)).status]).toEqual([path, 403]);
      expect([path, (await ask(path)).status]).toEqual([path, 403]);
    }
  });

  it("responds with 401 after the session has ended", async () => {
    const { token, sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    expect((await askAsClient(token, "/v1/check")).status).toBe(401);
  });
});

describe("/v1/session", () => {
  it("shows the client its session, and ends it", async () => {
    const { token, sessid, user } = await createSession();
    const me = await askAsClient(token, "/v1/session");
    expect(me.headers.get("Cache-Control")).toBe("no-store");
    expect(await me.json()).toMatchObject({ sessid, user });
    expect((await askAsClient(token, "/v1/session", { method: "DELETE" })).status).toBe(204);
    expect((await askAsClient(token, "/v1/session", { method: "DELETE" })).status).toBe(401);
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(404);
  });

  it("does not end the session of another client by its sessid", async () => {
    const { token, sessid } = await createSession();
    const forged = `${token.slice(0, 10)}${"C".repeat(16)}A`;
    expect((await askAsClient(forged, "/v1/session", { method: "DELETE" })).status).toBe(401);
    expect((await askAsService("GET", `/v1/sessions/${sessid}`)).status).toBe(200);
  });
});
