import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../dev/free-port.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const KIM = { user: "kim", password: "correct horse battery" };
const TOKEN = "A".repeat(27);

describe("the pages while the session store does not answer", () => {
  let edge: Edge;
  let browser: CookieClient;

  beforeAll(async () => {
    const variables = {
      SESSION_STORE: "redis",
      UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${await freePort()}`,
      UPSTASH_REDIS_REST_TOKEN: "token",
    };
    edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
    browser = new CookieClient(edge.url);
    browser.cookie = TOKEN;
  });
  afterAll(() => edge.close());

  test("leave the cookie as it is, so that the user is still logged in afterwards", async () => {
    const home = await browser.open("/");
    expect(home.status).toBe(200);
    expect(await home.text()).toContain("Sessions cannot be looked up at the moment");
    expect((await browser.open("/login")).status).toBe(200);
    expect((await browser.open("/me")).status).toBe(503);
    expect(browser.cookie).toBe(TOKEN);
  });

  test("report that the login, the sign-up or the logout did not happen", async () => {
    expect((await browser.submit("/signup", KIM)).status).toBe(503);
    const login = await browser.submit("/login", KIM);
    expect([login.status, await login.text()]).toEqual([503, expect.stringContaining("could not be logged in")]);
    const logout = await browser.submit("/logout", {});
    expect([logout.status, await logout.text()]).toEqual([503, expect.stringContaining("could not be logged out")]);
    expect(browser.cookie).toBe(TOKEN);
  });

  test("respond to a program with problem JSON", async () => {
    const response = await browser.open("/me", { headers: { Accept: "application/json" } });
    expect([response.status, response.headers.get("Content-Type")]).toEqual([503, "application/problem+json"]);
  });
});

describe("the pages while the user database does not answer", () => {
  test("respond 503 with a hint to try again, and set no cookie", async () => {
    const edge = await startEdge({ host: "127.0.0.1", port: 0, variables: {} });
    try {
      await (await edge.miniflare.getD1Database("DB")).exec("DROP TABLE accounts");
      const browser = new CookieClient(edge.url);
      for (const path of ["/signup", "/login"]) {
        const response = await browser.submit(path, KIM);
        const page = await response.text();
        expect([response.status, page]).toEqual([503, expect.stringContaining("Try again soon")]);
        expect(page).not.toContain("accounts");
        expect(response.headers.get("Cache-Control")).toBe("no-store");
      }
      expect(browser.cookie).toBeUndefined();
    } finally {
      await edge.close();
    }
  });
});
