import { beforeAll, describe, expect, it } from "vitest";
import { hashPassword } from "../../../../worker/password-hasher/password-service.ts";
import { ask } from "../../routes/edge-client.ts";
import { Browser, bindings, migrateAccounts, newName, PASSWORD, sessionOf } from "../browser.ts";

beforeAll(migrateAccounts);

describe("a sign-up", () => {
  it("creates an account and logs it in", async () => {
    const [browser, name] = [new Browser(), newName()];
    await browser.open("/signup");
    const response = await browser.submit("/signup", { user: name, password: PASSWORD, return: "/me" });
    expect([response.status, response.headers.get("Location")]).toEqual([303, "/me"]);
    expect(await sessionOf(browser.sessid)).toMatchObject({
      user: `web:${name}`,
      grants: ["room:*"],
      ip: browser.address,
    });
    expect(await (await browser.open("/")).text()).toContain(`Hello, ${name}`);
  });

  it("stores no password, but a hash with its parameters", async () => {
    const name = newName();
    await new Browser().signUp(name);
    const row = await bindings.DB.prepare("SELECT password_hash FROM accounts WHERE name = ?").bind(name).first();
    expect(row?.["password_hash"]).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$/);
  });

  it("gives a name to one account only, also in a race and in another spelling", async () => {
    const name = newName();
    const both = await Promise.all([new Browser().signUp(name), new Browser().signUp(` ${name.toUpperCase()} `)]);
    expect(both.map(({ status }) => status).sort()).toEqual([303, 409]);
  });

  it.each([
    ["10 kB of a name", "x".repeat(10_000), PASSWORD, "name cannot be used"],
    ["no name", "", PASSWORD, "name cannot be used"],
    ["HTML", '<script>alert("x")</script>', PASSWORD, "name cannot be used"],
    ["SQL", "kim'); DROP TABLE accounts;--", PASSWORD, "name cannot be used"],
    ["a short password", "short", "1234567", "password cannot be used"],
    ["a long password", "long", "x".repeat(257), "password cannot be used"],
  ])("refuses %s with a message at the field", async (_, user, password, message) => {
    const browser = new Browser();
    const response = await browser.signUp(user, password);
    const page = await response.text();
    expect(response.status).toBe(400);
    expect(page).toContain(message);
    expect(page).toMatch(/<input[^>]+aria-invalid="true"[^>]+aria-describedby="error /);
    expect(page).not.toContain("<script>alert");
    expect(browser.cookie).toBeUndefined();
  });

  it.each(["password", "PASSWORD1", "iloveyou", " qwertyuiop ", "１２３４５６７８９"])(
    "refuses %j, which everybody uses",
    async (password) => {
      const [browser, name] = [new Browser(), newName()];
      const response = await browser.signUp(name, password);
      const page = await response.text();
      expect([response.status, page]).toEqual([400, expect.stringContaining("Many people use this password")]);
      expect(page).toMatch(/<input[^>]+name="password"[^>]+aria-invalid="true"/);
      expect(browser.cookie).toBeUndefined();
      expect((await browser.signUp(name)).status).toBe(303);
    },
  );

  it("refuses a body that is no form or too large", async () => {
    const headers = { Origin: "https://edge.test", "Content-Type": "multipart/form-data; boundary=x" };
    expect((await ask("/signup", { method: "POST", headers, body: "--y" })).status).toBe(400);
    const huge = await new Browser().signUp("x".repeat(70_000));
    expect([huge.status, await huge.text()]).toEqual([413, expect.stringContaining("Allowed are 65536 bytes")]);
  });
});

describe("a login", () => {
  it("replaces the session: the token from before the login stops working", async () => {
    const [name, browser] = [newName(), new Browser()];
    await new Browser().signUp(name);
    await browser.open("/");
    const { sessid: before, cookie: fixed } = browser;
    expect((await browser.logIn(name)).status).toBe(303);
    expect(browser.cookie).not.toBe(fixed);
    expect(await sessionOf(before)).toBeUndefined();
    const attacker = new Browser();
    attacker.cookie = fixed;
    expect((await attacker.open("/v1/session")).status).toBe(401);
    expect((await browser.open("/v1/check")).headers.get("X-Session-User")).toBe(`web%3A${name}`);
  });

  it("as another user ends the previous session", async () => {
    const [kim, lee, browser] = [newName(), newName(), new Browser()];
    await browser.signUp(kim);
    const { sessid } = browser;
    await browser.signUp(lee);
    expect(await sessionOf(sessid)).toBeUndefined();
    expect(await sessionOf(browser.sessid)).toMatchObject({ user: `web:${lee}` });
  });

  it.each([
    ["a wrong password", (name: string) => ({ user: name, password: "wrong password" })],
    ["an unknown name", () => ({ user: "nobody-has-this", password: PASSWORD })],
    ["SQL in the name", () => ({ user: "' OR '1'='1", password: PASSWORD })],
    ["SQL in the password", (name: string) => ({ user: name, password: "' OR '1'='1" })],
    ["10 kB in both", () => ({ user: "x".repeat(10_000), password: "x".repeat(10_000) })],
    ["nothing", () => ({})],
  ])("with %s gets 401 with the form and the same message", async (_, fieldsFor) => {
    const [name, browser] = [newName(), new Browser()];
    await new Browser().signUp(name);
    const response = await browser.submit("/login", fieldsFor(name) as Record<string, string>);
    expect(response.status).toBe(401);
    expect(await response.text()).toContain("User name or password is wrong.");
    expect(browser.cookie).toBeUndefined();
  });

  it("escapes what was typed", async () => {
    const user = '"><img src=x onerror=alert(1)>';
    const page = await (await new Browser().submit("/login", { user, password: "x", return: user })).text();
    expect(page).not.toContain("<img");
    expect(page).toContain("&quot;&gt;&lt;img");
  });

  it("replaces an outdated hash, once", async () => {
    const name = newName();
    const outdated = await hashPassword(PASSWORD, { log2N: 10, r: 8, p: 1 });
    const hashOf = async () =>
      (await bindings.DB.prepare("SELECT password_hash AS hash FROM accounts WHERE name = ?").bind(name).first())?.[
        "hash"
      ];
    await new Browser().signUp(name);
    await bindings.DB.prepare("UPDATE accounts SET password_hash = ? WHERE name = ?").bind(outdated, name).run();
    expect((await new Browser().logIn(name, "wrong password")).status).toBe(401);
    expect(await hashOf()).toBe(outdated);
    expect((await new Browser().logIn(name)).status).toBe(303);
    const renewed = await hashOf();
    expect(renewed).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$/);
    expect((await new Browser().logIn(name)).status).toBe(303);
    expect(await hashOf()).toBe(renewed);
  });

  it.each([
    ["/login?return=/me", "/me"],
    ["/login?return=%2Fshop%3Fa%3Db", "/shop?a=b"],
    ["/login?return=//evil.example", "/"],
    ["/login?return=https://evil.example", "/"],
    ["/login?return=%2F%5Cevil.example", "/"],
  ])("from %s redirects to %s", async (path, returnTo) => {
    const page = await (await new Browser().open(path)).text();
    expect(page).toContain(`<input type="hidden" name="return" value="${returnTo}"/>`);
  });

  it("does not redirect to another site that a forged form names", async () => {
    const [name, browser] = [newName(), new Browser()];
    await browser.signUp(name);
    const response = await browser.submit("/login", { user: name, password: PASSWORD, return: "//evil.example" });
    expect(response.headers.get("Location")).toBe("/");
  });
});
