import { beforeAll, describe, expect, it } from "vitest";
import { Browser, migrateAccounts, newName, PASSWORD, sessionOf } from "../browser/browser.ts";
import { ask, askAsService, problemOf } from "./edge-client.ts";

beforeAll(migrateAccounts);

interface Page {
  readonly accounts: { readonly name: string }[];
  readonly next: string | null;
}

describe("GET /v1/accounts", () => {
  it("lists all accounts by name, page by page, without their passwords", async () => {
    const names: string[] = [];
    for (let made = 0; made < 3; made++) {
      const name = newName();
      await new Browser().signUp(name);
      names.push(name);
    }
    const listed: string[] = [];
    let after: string | null = "";
    while (after !== null) {
      const page: Page = await (
        await askAsService("GET", `/v1/accounts?limit=2&after=${encodeURIComponent(after)}`)
      ).json();
      expect(page.accounts.length).toBeLessThanOrEqual(2);
      expect(JSON.stringify(page)).not.toContain("scrypt");
      listed.push(...page.accounts.map(({ name }) => name));
      after = page.next;
    }
    expect(listed).toEqual(names.toSorted());
    const whole: Page = await (await askAsService("GET", "/v1/accounts")).json();
    expect(whole).toMatchObject({ next: null, accounts: names.toSorted().map((name) => ({ name })) });
  });

  it.each(["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "limit=", "page=2"])("refuses %s", async (query) => {
    const refused = await problemOf(await askAsService("GET", `/v1/accounts?${query}`));
    expect(refused).toMatchObject({ status: 400, detail: expect.stringMatching(/^(limit|page): /) });
  });
});

describe("POST /v1/accounts", () => {
  const create = (body: unknown) => askAsService("POST", "/v1/accounts", body);

  it("creates an account with grants of its own, and its owner can log in", async () => {
    const [name, browser] = [newName(), new Browser()];
    const created = await create({ name: name.toUpperCase(), password: PASSWORD, grants: ["/shop/*"] });
    expect([created.status, await created.json()]).toMatchObject([
      201,
      { name, grants: ["/shop/*"], lastLoginAt: null },
    ]);
    expect((await browser.logIn(name)).status).toBe(303);
    expect(await sessionOf(browser.sessid)).toMatchObject({ user: `web:${name}`, grants: ["/shop/*"] });
    const again = await create({ name, password: "another password" });
    expect(await problemOf(again)).toMatchObject({ status: 409, detail: "name: an account has it already" });
    expect((await new Browser().logIn(name)).status).toBe(303);
  });

  it.each([
    ["no name", { password: PASSWORD }, "name: needed"],
    ["a name that nobody can have", { name: "two words", password: PASSWORD }, "name: allowed are"],
    ["a short password", { name: "short", password: "1234567" }, "password: allowed are"],
    ["a password that many people use", { name: "common", password: "password1" }, "password: many people use it"],
    ["a grant that is none", { name: "grants", password: PASSWORD, grants: ["a*b"] }, "grants.0: allowed"],
    ["another field", { name: "field", password: PASSWORD, admin: true }, "admin: no such field"],
  ])("refuses %s with the field's name and without the password", async (_, body, detail) => {
    const refused = await problemOf(await create(body));
    expect(refused).toMatchObject({ status: 400, code: "invalid", detail: expect.stringContaining(detail) });
    expect(refused.detail).not.toContain(body.password);
  });
});

describe("one account", () => {
  it("is read by its name in upper or lower case", async () => {
    const name = newName();
    await new Browser().signUp(name);
    const read = await askAsService("GET", `/v1/accounts/${name.toUpperCase()}`);
    expect(await read.json()).toEqual({
      name,
      user: `web:${name}`,
      grants: null,
      disabled: false,
      createdAt: expect.any(Number),
      lastLoginAt: expect.any(Number),
    });
  });

  it("keeps what a change does not mention", async () => {
    const name = newName();
    await new Browser().signUp(name);
    const change = async (body: unknown) => (await askAsService("PATCH", `/v1/accounts/${name}`, body)).json();
    expect(await change({ grants: ["a", "b*"] })).toMatchObject({ grants: ["a", "b*"], disabled: false });
    expect(await change({ disabled: true })).toMatchObject({ grants: ["a", "b*"], disabled: true, sessionsEnded: 0 });
    expect(await change({ grants: [] })).toMatchObject({ grants: [], disabled: true });
    expect(await change({ grants: null, disabled: false })).toMatchObject({ grants: null, disabled: false });
  });

  it.each([
    ["nothing", {}, "body: needed is grants, disabled, or both"],
    ["a list", [], "body: "],
    ["a grant that is none", { grants: ["a*b"] }, "grants.0: allowed"],
    ["too many grants", { grants: Array(65).fill("a") }, "grants: allowed are 64"],
    ["grants as text", { grants: "/admin/*" }, "grants: allowed is a list"],
    ["disabled as text", { disabled: "true" }, "disabled: allowed is true or false"],
    ["another field", { disabled: true, password: "x" }, "password: no such field"],
  ])("is not changed by %s", async (_, body, detail) => {
    const name = newName();
    await new Browser().signUp(name);
    const refused = await problemOf(await askAsService("PATCH", `/v1/accounts/${name}`, body));
    expect(refused).toMatchObject({ status: 400, code: "invalid" });
    expect(refused.detail).toContain(detail);
    expect(await (await askAsService("GET", `/v1/accounts/${name}`)).json()).toMatchObject({
      grants: null,
      disabled: false,
    });
  });

  it.each(["GET", "PATCH", "DELETE"])(
    "that nobody has is 404 for %s, and a name that nobody can have 400",
    async (method) => {
      const body = method === "PATCH" ? { disabled: true } : undefined;
      const missing = await askAsService(method, "/v1/accounts/nobody-has-this", body);
      expect(await problemOf(missing)).toMatchObject({ code: "not_found", detail: "name: no such account" });
      const impossible = await askAsService(method, "/v1/accounts/two%20words", body);
      expect(await problemOf(impossible)).toMatchObject({ code: "invalid", detail: expect.stringMatching(/^name: /) });
    },
  );

  it.each([
    ["GET", "/v1/accounts"],
    ["POST", "/v1/accounts"],
    ["GET", "/v1/accounts/kim"],
    ["PATCH", "/v1/accounts/kim"],
    ["DELETE", "/v1/accounts/kim"],
  ])("%s %s needs an API key", async (method, path) => {
    expect((await ask(path, { method })).status).toBe(401);
  });
});
