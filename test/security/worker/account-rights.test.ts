import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { app } from "../../../worker/app.ts";
import { Browser, bindings, migrateAccounts, newName, PASSWORD, sessionOf } from "../../worker/browser/browser.ts";
import { askAsService, problemOf } from "../../worker/routes/edge-client.ts";

beforeAll(migrateAccounts);

const asOperator = (method: string, name: string, body?: unknown) => askAsService(method, `/v1/accounts/${name}`, body);

/** A check as a proxy in front of a site makes it. */
async function mayOpen(browser: Browser, uri: string): Promise<number> {
  return (await browser.open("/v1/check", { headers: { "X-Original-URI": uri } })).status;
}

/** Sends a form to a worker with other variables or bindings. */
function submitTo(changed: object, path: string, fields: Record<string, string>) {
  const headers = { Origin: "https://edge.test", "CF-Connecting-IP": new Browser().address };
  const init = { method: "POST", body: new URLSearchParams(fields), headers };
  return app.request(`https://edge.test${path}`, init, { ...env, ...changed });
}

describe("an account after its sign-up", () => {
  it("may enter rooms, and no site behind a proxy", async () => {
    const browser = new Browser();
    await browser.signUp(newName());
    expect(await sessionOf(browser.sessid)).toMatchObject({ grants: ["room:*"] });
    expect((await browser.open("/v1/check")).status).toBe(200);
    for (const uri of ["/", "/admin/secret", "/room:lobby", "/room%3Alobby"]) {
      expect([uri, await mayOpen(browser, uri)]).toEqual([uri, 403]);
    }
  });

  it("may enter what WEB_GRANTS allows", async () => {
    const response = await submitTo({ WEB_GRANTS: "/shop/*, room:lobby" }, "/signup", {
      user: newName(),
      password: PASSWORD,
    });
    const browser = new Browser();
    const [, session] = /__Host-sid=([^;]+)/.exec(response.headers.get("Set-Cookie") ?? "") ?? [];
    browser.cookie = session;
    expect(await sessionOf(browser.sessid)).toMatchObject({ grants: ["/shop/*", "room:lobby"] });
    expect([await mayOpen(browser, "/shop/cart"), await mayOpen(browser, "/admin")]).toEqual([200, 403]);
  });
});

describe("an operator's grants", () => {
  it("replace WEB_GRANTS from the next login on, and no session keeps the old grants", async () => {
    const [name, browser] = [newName(), new Browser()];
    await browser.signUp(name);
    const { sessid } = browser;
    const granted = await asOperator("PATCH", name, { grants: ["/admin/*"] });
    expect([granted.status, await granted.json()]).toMatchObject([200, { grants: ["/admin/*"], sessionsEnded: 1 }]);
    expect(await sessionOf(sessid)).toBeUndefined();

    await browser.logIn(name);
    expect([await mayOpen(browser, "/admin/x"), await mayOpen(browser, "/")]).toEqual([200, 403]);
    await asOperator("PATCH", name, { grants: null });
    expect(await mayOpen(browser, "/admin/x")).toBe(401);
    await browser.logIn(name);
    expect(await sessionOf(browser.sessid)).toMatchObject({ grants: ["room:*"] });
  });
});

describe("a disabled account", () => {
  it("has no session, and its password is refused like a wrong one", async () => {
    const [name, browser] = [newName(), new Browser()];
    await browser.signUp(name);
    expect((await asOperator("PATCH", name, { disabled: true })).status).toBe(200);
    expect((await browser.open("/v1/check")).status).toBe(401);
    const [right, wrong] = [await new Browser().logIn(name), await new Browser().logIn(name, "wrong password")];
    expect([right.status, right.headers.has("Set-Cookie")]).toEqual([401, false]);
    expect(await right.text()).toBe(await wrong.text());

    expect((await asOperator("PATCH", name, { disabled: false })).status).toBe(200);
    expect((await browser.logIn(name)).status).toBe(303);
  });

  it.each([
    ["disabled", (name: string) => asOperator("PATCH", name, { disabled: true })],
    ["given other grants", (name: string) => asOperator("PATCH", name, { grants: [] })],
    ["deleted", (name: string) => asOperator("DELETE", name)],
  ])("gets no session from a login during which it was %s", async (_, operate) => {
    const name = newName();
    await new Browser().signUp(name);
    let operated = 0;
    // The operator is done in the moment between the new session and the note of the login.
    const DB = new Proxy(bindings.DB, {
      get: (database, property) => (sql: string) => {
        const statement = database.prepare(sql);
        if (property !== "prepare") throw new Error(`not expected: ${String(property)}`);
        if (!sql.startsWith("UPDATE accounts SET last_login_at")) return statement;
        return {
          bind: (...values: unknown[]) => ({
            run: async () => {
              operated = (await operate(name)).status;
              return statement.bind(...values).run();
            },
          }),
        };
      },
    });
    const response = await submitTo({ DB }, "/login", { user: name, password: PASSWORD });
    expect([operated, response.status]).toEqual([200, 401]);
    const { sessions } = await (
      await askAsService("GET", `/v1/users/${encodeURIComponent(`web:${name}`)}/sessions`)
    ).json<{ sessions: unknown[] }>();
    expect(sessions).toEqual([]);
  });
});

describe("a deleted account", () => {
  it("has no session and no login, and a new account of its name gets none of its sessions", async () => {
    const [name, browser] = [newName(), new Browser()];
    await browser.signUp(name);
    const deleted = await asOperator("DELETE", name);
    expect([deleted.status, await deleted.json()]).toEqual([200, { sessionsEnded: 1 }]);
    expect((await browser.open("/v1/check")).status).toBe(401);
    expect((await browser.logIn(name)).status).toBe(401);
    expect((await asOperator("DELETE", name)).status).toBe(404);

    // A session that outlived its account, as one might when the store failed in the midst.
    await new Browser().signUp(name);
    const left = new Browser();
    await left.logIn(name);
    await bindings.DB.prepare("DELETE FROM accounts WHERE name = ?").bind(name).run();
    expect((await new Browser().signUp(name, "another password")).status).toBe(303);
    expect((await left.open("/v1/check")).status).toBe(401);
  });
});

describe("with SIGNUP=closed", () => {
  const closed = { ...env, SIGNUP: "closed" };

  it("nobody can create an account, and the page says so", async () => {
    const name = newName();
    const refused = await submitTo({ SIGNUP: "closed" }, "/signup", { user: name, password: PASSWORD });
    expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining("Sign-up is closed")]);
    expect((await asOperator("GET", name)).status).toBe(404);
    const page = await app.request("https://edge.test/signup", {}, closed);
    expect([page.status, await page.text()]).toEqual([403, expect.not.stringContaining("<form")]);
    const told = await app.request("https://edge.test/signup", { headers: { Accept: "application/json" } }, closed);
    expect(await problemOf(told)).toMatchObject({ status: 403, code: "denied" });
  });

  it("no page links to the sign-up, and accounts log in as before", async () => {
    const name = newName();
    await new Browser().signUp(name);
    for (const path of ["/", "/login", "/signup", "/rooms/lobby"]) {
      const page = await (await app.request(`https://edge.test${path}`, {}, closed)).text();
      expect(page).toContain('href="/login');
      expect(page).not.toContain("/signup");
    }
    expect((await submitTo({ SIGNUP: "closed" }, "/login", { user: name, password: PASSWORD })).status).toBe(303);
  });
});
