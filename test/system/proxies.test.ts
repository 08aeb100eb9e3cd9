import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Edge, startEdge } from "../../dev/edge.ts";
import { CookieClient } from "../support/cookie-client.ts";
import { type ProxyProgram, startCaddy, startNginx } from "../support/proxy-program.ts";

const PASSWORD = "correct horse battery";
const HOUR_MS = 3_600_000;

/** The ready-made configurations as they stand in deploy/, on ports of this test. */
const PROXIES = [
  {
    name: "nginx",
    start: startNginx,
    file: "deploy/nginx/artoria.conf",
    listen: (text: string, port: number) => text.replace("listen 80;", `listen 127.0.0.1:${port};`),
  },
  {
    name: "Caddy",
    start: startCaddy,
    file: "deploy/caddy/Caddyfile",
    listen: (text: string, port: number) => text.replace("\nshop.example {", `\nhttp://127.0.0.1:${port} {`),
  },
];

let edge: Edge;
let site: Server;
let sitePort: number;

beforeAll(async () => {
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: "test-key", WEB_GRANTS: "/*" } });
  // The protected site: it shows what it was sent.
  site = createServer((request, response) => response.end(JSON.stringify({ url: request.url, ...request.headers })));
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  sitePort = (site.address() as AddressInfo).port;
});

afterAll(async () => {
  await edge.close();
  site.close();
});

describe.each(PROXIES)("a site behind $name", ({ name, start, file, listen }) => {
  let proxy: ProxyProgram | undefined;
  let browser: CookieClient;

  beforeAll(async () => {
    const text = await readFile(file, "utf8");
    const placed = text
      .replaceAll("127.0.0.1:8787", new URL(edge.url).host)
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${sitePort}`);
    proxy = await start((port) => listen(placed, port));
  });
  afterAll(() => proxy?.stop());
  beforeEach(() => {
    browser = new CookieClient(proxy?.url ?? "");
  });

  it("sends who has no session to the login page, and back after it", async () => {
    const refused = await browser.open("/cart?a=b&c=%2Fd");
    expect([refused.status, refused.headers.get("Location")]).toEqual([303, "/login?return=/cart?a=b&c=%2Fd"]);
    const page = await browser.open("/login?return=/cart?a=b&c=%2Fd");
    expect(await page.text()).toContain('name="return" value="/cart?a=b&amp;c=%2Fd"');
    expect((await browser.open("/cart")).status).toBe(303);
    const signedUp = await signUp(browser, `${name}-kim`, "/cart?a=b&c=%2Fd");
    expect([signedUp.status, signedUp.headers.get("Location")]).toEqual([303, "/cart?a=b&c=%2Fd"]);
    expect(await seen(browser, "/cart?a=b&c=%2Fd")).toMatchObject({ url: "/cart?a=b&c=%2Fd" });
  });

  it("is told the user, whatever a client sends under that name", async () => {
    await signUp(browser, `${name}-김`);
    const user = encodeURIComponent(`web:${name.toLowerCase()}-김`);
    expect(await seen(browser, "/")).toMatchObject({ "x-session-user": user });
    const forged = { "X-Session-User": "root", "X-Session-Id": "1", X_Session_User: "root" };
    const { "x-session-user": told, "x-session-id": id } = await seen(browser, "/", forged);
    expect(told).toBe(user);
    expect(id).toMatch(/^-?\d+$/);
    expect(id).not.toBe("1");
  });

  it("does not ask for another resource because a client says so", async () => {
    browser.cookie = await issue(["/shop/*"]);
    expect((await browser.open("/shop/cart")).status).toBe(200);
    expect((await browser.open("/admin")).status).toBe(403);
    for (const header of ["X-Original-URI", "X-Forwarded-Uri"]) {
      expect((await browser.open("/admin", { headers: { [header]: "/shop/cart" } })).status).toBe(403);
      expect((await browser.open("/shop/cart", { headers: { [header]: "/admin" } })).status).toBe(200);
    }
    expect((await browser.open("/shop/..%2fadmin")).status).toBeGreaterThanOrEqual(400);
  });

  it("is closed again after the logout", async () => {
    await signUp(browser, `${name}-lee`);
    const { cookie } = browser;
    expect((await browser.open("/")).status).toBe(200);
    expect((await browser.submit("/logout", {})).status).toBe(303);
    browser.cookie = cookie;
    expect((await browser.open("/")).status).toBe(303);
  });

  it("refuses a form of another site", async () => {
    await signUp(browser, `${name}-park`);
    const init = { method: "POST", headers: { Origin: "https://evil.example", "X-Forwarded-Host": "evil.example" } };
    expect((await browser.open("/logout", init)).status).toBe(403);
    expect((await browser.open("/")).status).toBe(200);
  });

  it("sees a client's own address in the session", async () => {
    await signUp(browser, `${name}-choi`);
    const me = await browser.open("/me", { headers: { Accept: "application/json", "CF-Connecting-IP": "192.0.2.1" } });
    const { sessions } = (await me.json()) as { sessions: { ip: string; expiresAt: number }[] };
    expect(sessions.map(({ ip }) => ip)).toEqual(["127.0.0.1"]);
    expect(sessions[0]?.expiresAt).toBeLessThan(Date.now() + HOUR_MS);
  });
});

function signUp(browser: CookieClient, user: string, returnTo = "/"): Promise<Response> {
  return browser.submit("/signup", { user, password: PASSWORD, return: returnTo });
}

/** What the site was sent. */
async function seen(browser: CookieClient, path: string, headers: Record<string, string> = {}) {
  const response = await browser.open(path, { headers });
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, string>;
}

/** A service's session; its token. */
async function issue(grants: readonly string[]): Promise<string> {
  const response = await fetch(`${edge.url}/v1/sessions`, {
    method: "POST",
    headers: { Authorization: "Bearer test-key", "Content-Type": "application/json" },
    body: JSON.stringify({ user: "lee", grants }),
  });
  return ((await response.json()) as { token: string }).token;
}
