import { beforeAll, describe, expect, it } from "vitest";
import { Browser, migrateAccounts, newName } from "../browser.ts";

beforeAll(migrateAccounts);

describe("/rooms/{room}", () => {
  it("is a page whose script and style come from files, under a policy that allows nothing else", async () => {
    const response = await new Browser().open("/rooms/lobby", { headers: { Accept: "text/html" } });
    const page = await response.text();
    expect(response.status).toBe(200);
    const policy = response.headers.get("Content-Security-Policy");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect(page).toContain('<script type="module" src="/artoria/chat-page.js">');
    expect(page).not.toMatch(/<script(?![^>]*src=)|<style|style=|onclick=/);
    expect(response.headers.get("Cache-Control")).toBe("no-store");
  });

  it("tells its script whether the cookie may enter, and links visitors without a login to the login page and back", async () => {
    const browser = new Browser();
    const before = await (await browser.open("/rooms/lobby")).text();
    expect(before).toContain('data-cookie="no"');
    expect(before).toContain('href="/login?return=/rooms/lobby"');
    await browser.signUp(newName());
    const after = await (await browser.open("/rooms/lobby")).text();
    expect(after).toContain('data-cookie="yes"');
    expect(after).toMatch(/<p id="entrance" class="notice" hidden/);
  });

  it.each(["/rooms/a%20b", "/rooms/%3Cscript%3E", `/rooms/${"a".repeat(65)}`])("is 404 for %s", async (path) => {
    const response = await new Browser().open(path, { headers: { Accept: "text/html" } });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("No such room");
  });
});
