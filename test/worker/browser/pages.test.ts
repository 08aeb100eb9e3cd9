import { beforeAll, describe, expect, it } from "vitest";
import { Browser, migrateAccounts, newName, PASSWORD, sessionOf } from "./browser.ts";

beforeAll(migrateAccounts);

const FOREIGN: [string, Record<string, string>][] = [
  ["another site", { Origin: "https://evil.example" }],
  ["another port", { Origin: "https://edge.test:8443" }],
  ["a name below this one", { Origin: "https://a.edge.test" }],
  ["a name that this one is the end of", { Origin: "https://evil-edge.test" }],
  ["a sandbox", { Origin: "null" }],
  ["no URL", { Origin: "edge.test" }],
  ["nowhere", { Origin: "" }],
  ["this site, by a proxy that was asked for another", { "X-Forwarded-Host": "shop.example" }],
  ["two hosts at once", { "X-Forwarded-Host": "edge.test, shop.example", Origin: "https://shop.example" }],
];

describe("a form that was sent from", () => {
  it.each(FOREIGN)("%s changes nothing", async (_, headers) => {
    const [browser, name] = [new Browser(), newName()];
    await browser.signUp(name);
    const { sessid, cookie } = browser;
    for (const path of [
      "/logout",
      "/login",
      "/signup",
      "/me/sessions/end",
      "/me/sessions/end-others",
      "/me/password",
      "/me/delete",
    ]) {
      const response = await browser.submit(
        path,
        { user: newName(), password: PASSWORD, sessid: String(sessid) },
        headers,
      );
      expect([path, response.status]).toEqual([path, 403]);
      expect(response.headers.has("Set-Cookie")).toBe(false);
    }
    const deleted = await browser.open("/v1/session", { method: "DELETE", headers: { ...headers, "X-Test": "1" } });
    expect(deleted.status).toBe(403);
    browser.cookie = cookie;
    expect(await sessionOf(sessid)).toBeDefined();
  });

  it.each([
    ["the host that a proxy was asked for", { "X-Forwarded-Host": "shop.example", Origin: "https://shop.example" }],
    ["that host on a port", { "X-Forwarded-Host": "shop.example:8080", Origin: "http://shop.example:8080" }],
    [
      "that host with the port that https has",
      { "X-Forwarded-Host": "shop.example:443", Origin: "https://shop.example" },
    ],
  ])("%s is accepted", async (_, headers) => {
    expect((await new Browser().submit("/signup", { user: newName(), password: PASSWORD }, headers)).status).toBe(303);
  });
});

describe("DELETE /v1/session", () => {
  it("by cookie is accepted from this host", async () => {
    const browser = new Browser();
    await browser.signUp(newName());
    const { sessid } = browser;
    const headers = { Origin: "https://edge.test" };
    expect((await browser.open("/v1/session", { method: "DELETE", headers })).status).toBe(204);
    expect([browser.cookie, await sessionOf(sessid)]).toEqual([undefined, undefined]);
  });

  it("without an Origin is refused by cookie and accepted by token", async () => {
    const browser = new Browser();
    await browser.signUp(newName());
    expect((await browser.open("/v1/session", { method: "DELETE" })).status).toBe(403);
    const headers = { Authorization: `Bearer ${browser.cookie}`, Origin: "https://app.example" };
    expect((await browser.open("/v1/session", { method: "DELETE", headers })).status).toBe(204);
  });
});
