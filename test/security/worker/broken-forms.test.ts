import { beforeAll, describe, expect, it } from "vitest";
import { Browser, migrateAccounts, newName, sessionOf } from "../../worker/browser/browser.ts";

beforeAll(migrateAccounts);

const BROKEN: [string, string | undefined, string][] = [
  ["multipart without its boundary", "multipart/form-data; boundary=x", "--y"],
  [
    "multipart that ends early",
    "multipart/form-data; boundary=x",
    '--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nkim',
  ],
  ["multipart that names no boundary", "multipart/form-data", "--x--"],
  ["JSON", "application/json", '{"user":"kim","password":"correct horse battery","sessid":1}'],
  ["plain text", "text/plain", "user=kim"],
  ["a body of no type", undefined, "user=kim"],
];

describe.each(["/login", "/signup", "/me/sessions/end", "/logout"])("POST %s", (path) => {
  it.each(BROKEN)("responds to %s with 400 and what is allowed, and changes nothing", async (_, type, body) => {
    const browser = new Browser();
    await browser.signUp(newName());
    const { sessid } = browser;
    const headers: Record<string, string> = { Origin: "https://edge.test", ...(type && { "Content-Type": type }) };
    // As bytes: of a text, the type would be said.
    const response = await browser.open(path, { method: "POST", headers, body: new TextEncoder().encode(body) });
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("body: allowed is a form")]);
    expect(await sessionOf(sessid)).toBeDefined();
    expect(browser.sessid).toBe(sessid);
  });
});
