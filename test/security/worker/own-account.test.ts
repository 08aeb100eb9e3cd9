import { beforeAll, describe, expect, it } from "vitest";
import { Browser, bindings, migrateAccounts, newName, PASSWORD, sessionOf } from "../../worker/browser/browser.ts";
import { askAsService, createSession, problemOf } from "../../worker/routes/edge-client.ts";

const NEW_PASSWORD = "staple horse battery";

beforeAll(migrateAccounts);

/** Two browsers that are logged in to one new account. */
async function twoBrowsers() {
  const [name, here, there] = [newName(), new Browser(), new Browser()];
  await here.signUp(name);
  await there.logIn(name);
  return { name, here, there };
}

function change(browser: Browser, fields: Partial<Record<"current" | "password" | "again", string>> = {}) {
  return browser.submit("/me/password", { current: PASSWORD, password: NEW_PASSWORD, again: NEW_PASSWORD, ...fields });
}

describe("the owner's change of the password", () => {
  it("ends all other sessions, gives this browser another id, and voids the old password", async () => {
    const { name, here, there } = await twoBrowsers();
    const { cookie } = here;
    const changed = await change(here);
    expect([changed.status, changed.headers.get("Location")]).toEqual([303, "/me"]);
    expect((await there.open("/v1/check")).status).toBe(401);
    expect((await here.open("/me")).status).toBe(200);
    expect(here.cookie).not.toBe(cookie);
    const thief = new Browser();
    thief.cookie = cookie;
    expect((await thief.open("/v1/check")).status).toBe(401);
    expect((await there.logIn(name)).status).toBe(401);
    expect((await there.logIn(name, NEW_PASSWORD)).status).toBe(303);
  });

  it.each([
    ["a wrong current password", { current: "wrong password" }, 403, "This is not your password."],
    ["no current password", { current: "" }, 403, "This is not your password."],
    ["10 kB of a current password", { current: "x".repeat(10_000) }, 403, "This is not your password."],
    ["a new one that is too short", { password: "short", again: "short" }, 400, "This password cannot be used."],
    ["a new one that many people use", { password: "password1", again: "password1" }, 400, "Many people use"],
    ["a new one that was typed wrong", { again: "staple horse bakery" }, 400, "not typed the same twice"],
  ])("is refused with %s and changes nothing", async (_, fields, status, message) => {
    const { name, here, there } = await twoBrowsers();
    const { cookie } = here;
    const refused = await change(here, fields);
    const page = await refused.text();
    expect([refused.status, page]).toEqual([status, expect.stringContaining(message)]);
    expect(page).toMatch(/<input[^>]+aria-invalid="true"/);
    expect(page).not.toContain(PASSWORD);
    expect(page).not.toContain(NEW_PASSWORD);
    expect(here.cookie).toBe(cookie);
    expect([(await here.open("/v1/check")).status, (await there.open("/v1/check")).status]).toEqual([200, 200]);
    expect((await new Browser().logIn(name)).status).toBe(303);
  });

  it("does not allow guessing from an open browser: its tries count like a login's", async () => {
    const { name, here } = await twoBrowsers();
    let refused = await change(here, { current: "wrong password" });
    // A new minute may begin between two tries, hardly between all of them.
    for (let tries = 0; refused.status !== 429 && tries < 25; tries++) {
      refused = await change(here, { current: "wrong password" });
    }
    expect([refused.status, Number(refused.headers.get("Retry-After")) > 0]).toEqual([429, true]);
    expect((await here.submit("/me/delete", { password: PASSWORD })).status).toBe(429);
    expect((await here.logIn(name)).status).toBe(429);
  });

  it("is refused if an operator has just disabled the account, although the session lived still", async () => {
    const { name, here } = await twoBrowsers();
    await bindings.DB.prepare("UPDATE accounts SET disabled = 1 WHERE name = ?").bind(name).run();
    expect((await change(here)).status).toBe(403);
    expect((await here.submit("/me/delete", { password: PASSWORD })).status).toBe(403);
    expect((await askAsService("GET", `/v1/accounts/${name}`)).status).toBe(200);
  });

  it("takes effect once if two browsers do it at the same time, and the other one is told", async () => {
    const { here, there, name } = await twoBrowsers();
    const responses = await Promise.all([
      change(here),
      change(there, { password: "third horse", again: "third horse" }),
    ]);
    expect(responses.map(({ status }) => status).sort()).toEqual([303, 409]);
    const alive = await Promise.all([here, there].map(async (browser) => (await browser.open("/v1/check")).status));
    expect(alive.sort()).toEqual([200, 401]);
    expect((await new Browser().logIn(name)).status).toBe(401);
  });
});

describe("the end of all other sessions", () => {
  it("leaves this session and its absolute lifetime as they are", async () => {
    const { here, there } = await twoBrowsers();
    const third = new Browser();
    await third.signUp(newName());
    const { sessid, cookie } = here;
    const before = await sessionOf(sessid);
    const asked = await here.submit("/me/sessions/end-others", {});
    expect([asked.status, await asked.text()]).toEqual([200, expect.stringContaining('name="password"')]);
    expect((await here.submit("/me/sessions/end-others", { password: "wrong password" })).status).toBe(403);
    expect((await there.open("/v1/check")).status).toBe(200);
    const ended = await here.submit("/me/sessions/end-others", { password: PASSWORD });
    expect([ended.status, ended.headers.get("Location")]).toEqual([303, "/me"]);
    expect(here.cookie).toBe(cookie);
    expect(await sessionOf(sessid)).toMatchObject({ createdAt: before?.createdAt });
    expect([(await there.open("/v1/check")).status, (await third.open("/v1/check")).status]).toEqual([401, 200]);
    expect(await (await here.open("/me")).text()).not.toContain("End all others");
  });

  it("is left to the service for its users, who have no password here", async () => {
    const [browser, session] = [new Browser(), await createSession()];
    const other = await createSession({ user: session.user });
    browser.cookie = session.token;
    const tries: [string, Record<string, string>][] = [
      ["/me/sessions/end-others", { password: PASSWORD }],
      ["/me/sessions/end", { password: PASSWORD, sessid: String(other.sessid) }],
    ];
    for (const [path, fields] of tries)
      expect([path, (await browser.submit(path, fields)).status]).toEqual([path, 404]);
    expect(await sessionOf(other.sessid)).toMatchObject({ user: session.user });
    expect((await (await browser.open("/me")).text()).match(/action="\/me\/sessions\/end"/g)).toHaveLength(1);
    for (const path of ["/me/password", "/me/delete"]) {
      expect([path, (await browser.open(path)).status]).toEqual([path, 404]);
      expect([path, (await browser.submit(path, { password: PASSWORD })).status]).toEqual([path, 404]);
    }
    expect(await (await browser.open("/me")).text()).not.toContain("/me/delete");
  });
});

describe("the owner's deletion of the account", () => {
  it("asks for the password, then ends all sessions and deletes the account", async () => {
    const { name, here, there } = await twoBrowsers();
    const refused = await here.submit("/me/delete", { password: "wrong password" });
    expect([refused.status, await refused.text()]).toEqual([
      403,
      expect.stringContaining("This is not your password."),
    ]);
    expect((await there.open("/v1/check")).status).toBe(200);

    const { cookie } = here;
    const deleted = await here.submit("/me/delete", { password: PASSWORD });
    expect([deleted.status, await deleted.text()]).toEqual([200, expect.stringContaining("Your account is deleted")]);
    expect(here.cookie).toBeUndefined();
    here.cookie = cookie;
    expect([(await here.open("/v1/check")).status, (await there.open("/v1/check")).status]).toEqual([401, 401]);
    expect(await problemOf(await askAsService("GET", `/v1/accounts/${name}`))).toMatchObject({ code: "not_found" });
    expect((await there.logIn(name)).status).toBe(401);
    expect((await new Browser().signUp(name)).status).toBe(303);
  });
});

describe("an action of the account's owner", () => {
  it.each(["/me/password", "/me/delete", "/me/sessions/end-others"])("at %s needs a login", async (path) => {
    const sent = await new Browser().submit(path, { password: PASSWORD });
    expect([sent.status, sent.headers.get("Location")]).toEqual([303, "/login?return=%2Fme"]);
    const told = await new Browser().submit(path, {}, { Accept: "application/json" });
    expect(await problemOf(told)).toMatchObject({ status: 401, code: "unauthenticated" });
  });

  it("is not possible by a link, nor with a body that is no form", async () => {
    const { name, here } = await twoBrowsers();
    for (const path of ["/me/password", "/me/delete"]) {
      expect((await here.open(`${path}?password=${encodeURIComponent(PASSWORD)}`)).status).toBe(200);
      const headers = { Origin: "https://edge.test", "Content-Type": "multipart/form-data; boundary=x" };
      const broken = await here.open(path, { method: "POST", headers, body: "--y" });
      expect([400, 403]).toContain(broken.status);
    }
    expect((await here.open("/me/sessions/end-others")).status).toBe(404);
    expect((await new Browser().logIn(name)).status).toBe(303);
  });
});
