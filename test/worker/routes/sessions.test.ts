import { describe, expect, it } from "vitest";
import { API_KEY, ask, askAsClient, askAsService, createSession, newUser, problemOf } from "./edge-client.ts";

describe("POST /v1/sessions", () => {
  it("issues a session with a random sessid and a token that works", async () => {
    const user = newUser();
    const response = await askAsService("POST", "/v1/sessions", { user, ip: "2001:db8::7" });
    expect(response.status).toBe(201);
    const created = await response.json<{ sessid: number; token: string; user: string; expiresAt: number }>();
    expect(created).toMatchObject({ user });
    expect(created.token).toMatch(/^[A-Za-z0-9_-]{27}$/);
    expect(created.expiresAt - Date.now()).toBeGreaterThan(1_700_000);
    expect(created.expiresAt - Date.now()).toBeLessThanOrEqual(1_800_000);
    const seen = await (await askAsClient(created.token, "/v1/session")).json();
    expect(seen).toMatchObject({ sessid: created.sessid, user, ip: "2001:db8::7", grants: ["*"] });
  });

  it("registers a given sessid: 201 when new, 200 with a new token for the same user, 409 for another", async () => {
    const { sessid, user, token } = await createSession();
    const again = await askAsService("POST", "/v1/sessions", { user, sessid });
    expect(again.status).toBe(200);
    const { token: renewed } = await again.json<{ token: string }>();
    expect((await askAsClient(token, "/v1/session")).status).toBe(401);
    expect((await askAsClient(renewed, "/v1/session")).status).toBe(200);

    const taken = await askAsService("POST", "/v1/sessions", { user: newUser(), sessid });
    expect(await problemOf(taken)).toMatchObject({ status: 409, code: "conflict" });
    expect((await askAsClient(renewed, "/v1/session")).status).toBe(200);
  });

  it("gives the session its own idle lifetime", async () => {
    const response = await askAsService("POST", "/v1/sessions", { user: newUser(), ttlSeconds: 60 });
    const { expiresAt } = await response.json<{ expiresAt: number }>();
    expect(expiresAt - Date.now()).toBeLessThanOrEqual(60_000);
    expect(expiresAt - Date.now()).toBeGreaterThan(0);
  });

  it.each([
    ["not JSON", "{", "body"],
    ["null", "null", "body: allowed is a JSON object"],
    ["no user", {}, "user: needed"],
    ["an empty user", { user: "" }, "user: allowed are 1..128 bytes"],
    ["a user of 129 bytes", { user: "a".repeat(129) }, "user: allowed are 1..128 bytes"],
    ["a user of 43 characters and 129 bytes", { user: "한".repeat(43) }, "user: allowed are 1..128 bytes"],
    ["a user with U+0000", { user: "a\0b" }, "user: allowed"],
    ["a user that is half a surrogate pair", '{"user":"\\ud800"}', "user: allowed"],
    ["a browser's user", { user: "web:kim" }, 'user: "web:" is kept'],
    ["sessid 0", { user: "kim", sessid: 0 }, "sessid: 0 is never a session"],
    ["a sessid beyond int32", { user: "kim", sessid: 2 ** 31 }, "sessid: allowed is -2147483648..2147483647"],
    ["a broken sessid", { user: "kim", sessid: 1.5 }, "sessid: allowed is a whole number"],
    ["a sessid as text", { user: "kim", sessid: "7" }, "sessid: allowed is a whole number"],
    ["an endless ip", { user: "kim", ip: `fe80::1%${"a".repeat(100)}` }, "ip: allowed is an IPv4 or IPv6 address"],
    ["a bad ip", { user: "kim", ip: "10.0.0.256" }, "ip: allowed is an IPv4 or IPv6 address"],
    ["a star inside a grant", { user: "kim", grants: ["ok", "a*b"] }, "grants.1: allowed"],
    ["65 grants", { user: "kim", grants: Array(65).fill("a") }, "grants: allowed are 64"],
    ["ttlSeconds 0", { user: "kim", ttlSeconds: 0 }, "ttlSeconds: allowed is 1.."],
    ["an unknown field", { user: "kim", admin: true }, "admin: no such field"],
  ])("refuses %s with the field's name", async (_, body, detail) => {
    const refused = await problemOf(await askAsService("POST", "/v1/sessions", body));
    expect(refused).toMatchObject({ status: 400, code: "invalid" });
    expect(refused.detail).toContain(detail);
  });

  it("refuses a body that is not UTF-8 instead of reading another user from it", async () => {
    const body = Uint8Array.from('{"user":"?"}', (character) => (character === "?" ? 0xff : character.charCodeAt(0)));
    const headers = { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" };
    const refused = await problemOf(await ask("/v1/sessions", { method: "POST", headers, body }));
    expect(refused).toMatchObject({ status: 400, code: "invalid", detail: "body: allowed is UTF-8" });
  });

  it("refuses a body over its cap", async () => {
    const refused = await askAsService("POST", "/v1/sessions", { user: "a".repeat(70_000) });
    expect(await problemOf(refused)).toMatchObject({ status: 413, code: "too_large" });
  });
});

describe("POST /v1/sessions/check", () => {
  it("returns the verdicts in the order of the request", async () => {
    const [first, second] = [await createSession(), await createSession()];
    await askAsService("DELETE", `/v1/sessions/${second.sessid}`);
    const sessids = [second.sessid, first.sessid, second.sessid];
    const response = await askAsService("POST", "/v1/sessions/check", { sessids });
    expect(await response.json()).toEqual({ statuses: ["not_found", "ok", "not_found"] });
  });

  it.each([[[]], [Array(1001).fill(7)], [[0]]])("refuses a bad list", async (sessids) => {
    const refused = await problemOf(await askAsService("POST", "/v1/sessions/check", { sessids }));
    expect(refused).toMatchObject({ status: 400, code: "invalid" });
  });
});

describe("POST /v1/sessions/identify", () => {
  const identify = (tokens: unknown) => askAsService("POST", "/v1/sessions/identify", { tokens });
  /** A token with this one's sessid and another secret. */
  const guess = (token: string) => `${token.slice(0, 6)}AAAAAAAAAAAAAAAAAAAAA`;

  it("returns whose the tokens are, in the order of the request", async () => {
    const [first, second] = [await createSession({ grants: ["room:*"] }), await createSession()];
    await askAsService("DELETE", `/v1/sessions/${second.sessid}`);
    const response = await identify([second.token, first.token, guess(first.token), first.token]);
    const { sessid, user, expiresAt } = first;
    const found = { status: "ok", sessid, user, grants: ["room:*"], expiresAt };
    const notFound = { status: "not_found" };
    expect(await response.json()).toEqual({ sessions: [notFound, found, notFound, found] });
  });

  it("finds no session for the token of a browser that has not logged in", async () => {
    const anonymous = /__Host-sid=([^;]+)/.exec((await ask("/")).headers.get("Set-Cookie") ?? "")?.[1] ?? "";
    expect(await (await identify([anonymous])).json()).toEqual({ sessions: [{ status: "not_found" }] });
  });

  it("accepts 100 tokens", async () => {
    const { token } = await createSession();
    const { sessions } = await (await identify(Array(100).fill(token))).json<{ sessions: { status: string }[] }>();
    expect(sessions.map(({ status }) => status)).toEqual(Array(100).fill("ok"));
  });

  it.each([
    ["no tokens", [], "tokens: allowed are 1..100 tokens"],
    ["101 tokens", Array(101).fill("A".repeat(27)), "tokens: allowed are 1..100 tokens"],
    ["no list", "A".repeat(27), "tokens: allowed is a list of tokens"],
    ["a sessid among the tokens", ["A".repeat(27), 7], "tokens.1: allowed is a session token"],
    ["a token of 26 characters", ["A".repeat(27), "A".repeat(26)], "tokens.1: allowed is a session token"],
    ["a token of 28 characters", ["A".repeat(28)], "tokens.0: allowed is a session token"],
    ["a token in another alphabet", [`+${"A".repeat(26)}`], "tokens.0: allowed is a session token"],
    ["a token with unused bits", [`${"A".repeat(26)}B`], "tokens.0: allowed is a session token"],
  ])("refuses %s with the field's name", async (_, tokens, detail) => {
    const refused = await problemOf(await identify(tokens));
    expect(refused).toMatchObject({ status: 400, code: "invalid" });
    expect(refused.detail).toContain(detail);
  });

  it("refuses an unknown field, and names no token in a refusal", async () => {
    const { token } = await createSession();
    const extra = await askAsService("POST", "/v1/sessions/identify", { tokens: [token], resource: "room:lobby" });
    expect(await problemOf(extra)).toMatchObject({ status: 400, detail: "resource: no such field" });
    const longer = await problemOf(await identify([token, `${token}A`]));
    expect(longer.detail).toContain("tokens.1: ");
    expect(longer.detail).not.toContain(token);
  });

  it("identifies nobody for a caller without an API key", async () => {
    const { token } = await createSession();
    const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"tokens":[]}' };
    expect((await askAsClient(token, "/v1/sessions/identify", init)).status).toBe(401);
  });
});

describe("one session", () => {
  it("is read without being renewed, and deleted by its owner only if the owner is named", async () => {
    const { sessid, user, expiresAt } = await createSession({ grants: ["room:*"] });
    const read = await (await askAsService("GET", `/v1/sessions/${sessid}`)).json();
    expect(read).toEqual({ sessid, user, ip: null, createdAt: expiresAt - 1_800_000, expiresAt, grants: ["room:*"] });

    const denied = await askAsService("DELETE", `/v1/sessions/${sessid}?user=somebody`);
    expect(await problemOf(denied)).toMatchObject({ status: 403, code: "denied" });
    const owner = encodeURIComponent(user);
    expect((await askAsService("DELETE", `/v1/sessions/${sessid}?user=${owner}`)).status).toBe(204);
    const gone = await askAsService("GET", `/v1/sessions/${sessid}`);
    expect(await problemOf(gone)).toMatchObject({ status: 404, code: "not_found" });
    expect((await askAsService("DELETE", `/v1/sessions/${sessid}`)).status).toBe(404);
  });

  it.each(["0", "x", "1.5", "2147483648", "9999999999999"])("refuses the sessid %s", async (sessid) => {
    const refused = await problemOf(await askAsService("GET", `/v1/sessions/${sessid}`));
    expect(refused).toMatchObject({ status: 400, code: "invalid" });
    expect(refused.detail).toContain("sessid: ");
  });
});
