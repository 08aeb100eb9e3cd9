import { beforeAll, describe, expect, it } from "vitest";
import { ask } from "../routes/edge-client.ts";
import { Browser, migrateAccounts, sessionOf } from "./browser.ts";

const TEN_MINUTES_MS = 600_000;
const THIRTY_MINUTES_MS = 1_800_000;

beforeAll(migrateAccounts);

describe("a browser's first visit", () => {
  it.each(["/", "/login", "/signup", "/me"])(
    "of %s gives it an anonymous session in a host-only session cookie",
    async (path) => {
      const browser = new Browser();
      const response = await browser.open(path);
      expect(response.headers.get("Set-Cookie")).toMatch(
        /^__Host-sid=[\w-]{27}; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
      );
      expect(await sessionOf(browser.sessid)).toMatchObject({ user: null, grants: [], ip: browser.address });
    },
  );

  it("gets a session of ten minutes, which from the second request on lives as long as any other", async () => {
    const browser = new Browser();
    await browser.open("/");
    const { sessid, cookie } = browser;
    expect(await lifetimeMs(sessid)).toBe(TEN_MINUTES_MS);
    const second = await browser.open("/login");
    expect(second.headers.has("Set-Cookie")).toBe(false);
    expect(await lifetimeMs(sessid)).toBe(THIRTY_MINUTES_MS);
    await browser.open("/");
    expect(await lifetimeMs(sessid)).toBe(THIRTY_MINUTES_MS);
    expect(browser.cookie).toBe(cookie);
  });

  it("gets an anonymous session, which a check refuses", async () => {
    const browser = new Browser();
    await browser.open("/");
    expect((await browser.open("/v1/check")).status).toBe(401);
    expect((await browser.open("/me", { headers: { Accept: "application/json" } })).status).toBe(401);
  });

  it("gets no session if it is a prefetch or a program", async () => {
    const headers: HeadersInit[] = [{ "Sec-Purpose": "prefetch;prerender" }, { Accept: "application/json" }];
    for (const init of [{ method: "HEAD" }, ...headers.map((one) => ({ headers: one }))]) {
      expect((await new Browser().open("/login", init)).headers.has("Set-Cookie")).toBe(false);
    }
    expect((await new Browser().open("/artoria/pages.css")).headers.has("Set-Cookie")).toBe(false);
    expect((await new Browser().open("/login", { method: "HEAD" })).status).toBe(200);
  });

  it("gets the page without a session beyond the limit of its address", async () => {
    const address = new Browser().address;
    let issued = 0;
    for (let visit = 0; visit < 100; visit++) {
      const response = await new Browser(address).open("/");
      expect(response.status).toBe(200);
      if (response.headers.has("Set-Cookie")) issued++;
    }
    // 30 a minute; a new minute may begin meanwhile.
    expect(issued).toBeGreaterThanOrEqual(30);
    expect(issued).toBeLessThanOrEqual(60);
    expect((await new Browser().open("/")).headers.has("Set-Cookie")).toBe(true);
  });
});

describe("a session cookie that the server did not issue", () => {
  it.each([
    ["made up", "A".repeat(27)],
    ["truncated", "A".repeat(26)],
    ["too long", "A".repeat(28)],
    ["empty", ""],
    ["quoted", `"${"A".repeat(27)}"`],
    ["SQL", "' OR 1=1 --"],
    ["10 kB", "x".repeat(10_000)],
  ])("is ignored and replaced: %s", async (_, value) => {
    const browser = new Browser();
    const response = await browser.open("/", { headers: { Cookie: `__Host-sid=${value}` } });
    expect(response.status).toBe(200);
    expect(browser.cookie).toHaveLength(27);
    expect(browser.cookie).not.toBe(value);
  });

  it("voids a genuine one in the same request, whichever comes first", async () => {
    const browser = new Browser();
    await browser.open("/");
    const own = `__Host-sid=${browser.cookie}`;
    for (const Cookie of [`${own}; __Host-sid=${"A".repeat(27)}`, `__Host-sid=${"A".repeat(27)}; ${own}`]) {
      expect((await browser.open("/", { headers: { Cookie } })).headers.has("Set-Cookie")).toBe(true);
      expect((await ask("/v1/session", { headers: { Cookie } })).status).toBe(401);
    }
  });

  it("cannot combine another's sessid with a secret of one's own", async () => {
    const victim = new Browser();
    await victim.open("/");
    const forged = `${victim.cookie?.slice(0, 8)}${"B".repeat(18)}A`;
    const thief = new Browser();
    await thief.open("/", { headers: { Cookie: `__Host-sid=${forged}` } });
    expect(thief.sessid).not.toBe(victim.sessid);
  });
});

async function lifetimeMs(sessid: number): Promise<number> {
  const session = await sessionOf(sessid);
  return session === undefined ? 0 : session.expiresAt - session.createdAt;
}
