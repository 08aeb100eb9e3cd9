import { beforeAll, describe, expect, it } from "vitest";
import { createSession } from "../../routes/edge-client.ts";
import { Browser, migrateAccounts, newName, PASSWORD, sessionOf } from "../browser.ts";

const JSON_ONLY = { headers: { Accept: "application/json" } };

beforeAll(migrateAccounts);

describe("/me", () => {
  it("redirects a browser without a login to the login page and back, and responds to a program with 401", async () => {
    const browser = new Browser();
    const response = await browser.open("/me");
    expect([response.status, response.headers.get("Location")]).toEqual([303, "/login?return=%2Fme"]);
    const refused = await browser.open("/me", JSON_ONLY);
    expect([refused.status, refused.headers.get("Content-Type")]).toEqual([401, "application/problem+json"]);
  });

  it("shows the account and each of its sessions, and no cache keeps the page", async () => {
    const [name, first, second] = [newName(), new Browser(), new Browser()];
    await first.signUp(name);
    await second.logIn(name);
    const response = await first.open("/me");
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    const page = await response.text();
    expect(page).toContain(`<h1>${name}</h1>`);
    expect(page).toContain(first.address);
    expect(page).toContain(second.address);
    expect(page.match(/this browser/g)).toHaveLength(1);
    const data = await (await first.open("/me", JSON_ONLY)).json<{ sessions: { sessid: number }[] }>();
    expect(data).toMatchObject({ user: `web:${name}`, sessid: first.sessid, lastLoginAt: expect.any(Number) });
    expect(data.sessions.map(({ sessid }) => sessid).sort()).toEqual([first.sessid, second.sessid].sort());
  });

  it("ends another session of the user after the password was typed again", async () => {
    const [name, first, second] = [newName(), new Browser(), new Browser()];
    await first.signUp(name);
    await second.logIn(name);
    const sessid = String(second.sessid);
    const asked = await first.submit("/me/sessions/end", { sessid });
    const page = await asked.text();
    expect([asked.status, page]).toEqual([200, expect.stringContaining('name="password"')]);
    expect(page).toContain(`<input type="hidden" name="sessid" value="${sessid}"`);
    const refused = await first.submit("/me/sessions/end", { sessid, password: "wrong password" });
    expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining("not your password")]);
    expect((await second.open("/v1/check")).status).toBe(200);

    const ended = await first.submit("/me/sessions/end", { sessid, password: PASSWORD });
    expect([ended.status, ended.headers.get("Location")]).toEqual([303, "/me"]);
    expect((await second.open("/v1/check")).status).toBe(401);
    expect((await first.open("/v1/check")).status).toBe(200);
  });

  it("ends the browser's own session as a logout does", async () => {
    const browser = new Browser();
    await browser.signUp(newName());
    const { sessid } = browser;
    const ended = await browser.submit("/me/sessions/end", { sessid: String(sessid) });
    expect(ended.headers.get("Location")).toBe("/");
    expect([browser.cookie, await sessionOf(sessid)]).toEqual([undefined, undefined]);
  });

  it("does not end sessions of other users", async () => {
    const [browser, { sessid }] = [new Browser(), await createSession()];
    await browser.signUp(newName());
    const refused = await browser.submit("/me/sessions/end", { sessid: String(sessid), password: PASSWORD });
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain("Not yours");
    expect((await browser.submit("/me/sessions/end", { sessid: "1 OR 1=1" })).status).toBe(400);
    expect((await browser.submit("/me/sessions/end", {})).status).toBe(400);
    expect(await sessionOf(sessid)).toBeDefined();
  });

  it("shows the sessions of a service's user, who has no account", async () => {
    const browser = new Browser();
    const { token, user } = await createSession();
    browser.cookie = token;
    expect(await (await browser.open("/me", JSON_ONLY)).json()).toMatchObject({ user, createdAt: null });
    expect((await browser.open("/me")).status).toBe(200);
  });
});

describe("a logout", () => {
  it("ends the session in the store and clears the cookie", async () => {
    const browser = new Browser();
    await browser.signUp(newName());
    const { sessid, cookie } = browser;
    const response = await browser.submit("/logout", {});
    expect([response.status, response.headers.get("Location")]).toEqual([303, "/"]);
    expect(response.headers.getSetCookie()).toEqual([
      "__Host-sid=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax",
      "session-ended=logout; Max-Age=60; Path=/rooms; Secure; SameSite=Strict",
    ]);
    expect(await sessionOf(sessid)).toBeUndefined();
    browser.cookie = cookie;
    expect((await browser.open("/me")).status).toBe(303);
  });

  it("succeeds without a session, and is not possible by a link", async () => {
    expect((await new Browser().submit("/logout", {})).status).toBe(303);
    const browser = new Browser();
    await browser.signUp(newName());
    await browser.open("/logout");
    expect(await sessionOf(browser.sessid)).toBeDefined();
  });
});
