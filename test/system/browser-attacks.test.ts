import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { launchChromium } from "../support/processes/chromium.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const KIM = { user: "kim", password: "correct horse battery" };
const AS_SERVICE = { Authorization: "Bearer test-key" };

let edge: Edge;
let chromium: Browser;
let evil: Server;
let evilPort: number;

beforeAll(async () => {
  // This test is the proxy that says where its tries come from.
  const variables = { API_KEYS: "test-key", TRUSTED_PROXIES: "127.0.0.1" };
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables });
  // A page that sends a form to the edge as soon as it is shown, as an attacker's would.
  evil = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://evil.invalid").searchParams.get("to");
    response.setHeader("Content-Type", "text/html");
    response.end(`<form method="post" action="${edge.url}${path}"></form><script>document.forms[0].submit()</script>`);
  });
  evil.listen(0);
  await once(evil, "listening");
  evilPort = (evil.address() as AddressInfo).port;
  await new CookieClient(edge.url).submit("/signup", KIM);
  chromium = await launchChromium();
});

afterAll(async () => {
  await chromium.close();
  evil.close();
  await edge.close();
});

test.each([
  // The browser keeps the cookie from another site (SameSite=Lax), but not from another port of this one.
  ["another site", "localhost"],
  ["another origin of the same site, which is sent the cookie,", "127.0.0.1"],
])("a form from %s does not log out", async (_, evilHost) => {
  const context = await chromium.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${edge.url}/login`);
    await page.getByLabel("User name").fill(KIM.user);
    await page.getByLabel("Password").fill(KIM.password);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(`${edge.url}/`);

    const forged = page.waitForResponse(`${edge.url}/logout`);
    await page.goto(`http://${evilHost}:${evilPort}/?to=/logout`);
    expect((await forged).status()).toBe(403);
    await page.goto(edge.url);
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Hello, kim");
  } finally {
    await context.close();
  }
});

test("1,000 wrong passwords are few guesses, and the owner logs in again after the Retry-After", async () => {
  const statuses = new Map<number, number>();
  for (let batch = 0; batch < 100; batch++) {
    const tries = Array.from({ length: 10 }, () => logIn("192.0.2.66", `wrong ${batch}`));
    for (const { status } of await Promise.all(tries)) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  expect([...statuses.keys()].toSorted()).toEqual([401, 429]);
  // Ten a minute; the thousand take two minutes at most.
  expect(statuses.get(401)).toBeLessThanOrEqual(30);
  expect((await logIn("192.0.2.7", KIM.password)).status).toBe(303);

  let response = await logIn("192.0.2.66", KIM.password);
  if (response.status === 429) {
    const retryAfterSeconds = Number(response.headers.get("Retry-After"));
    expect(retryAfterSeconds).toBeLessThanOrEqual(60);
    await pause(retryAfterSeconds * 1_000);
    response = await logIn("192.0.2.66", KIM.password);
  }
  expect(response.status).toBe(303);
});

test("an idle session ends: with a lifetime of 1 s after one second, as after 30 minutes with the default", async () => {
  const shortLived = await startEdge({
    host: "127.0.0.1",
    port: 0,
    variables: { API_KEYS: "test-key", SESSION_TTL_SECONDS: "1" },
  });
  try {
    const browser = new CookieClient(shortLived.url);
    await browser.submit("/signup", KIM);
    const { cookie } = browser;
    await until(async () => {
      const count = await fetch(`${shortLived.url}/v1/count`, { headers: AS_SERVICE });
      return ((await count.json()) as { users: number }).users === 0;
    });
    const response = await browser.open("/me");
    expect([response.status, response.headers.get("Location")]).toEqual([303, "/login?return=%2Fme"]);
    expect(browser.cookie).not.toBe(cookie);
  } finally {
    await shortLived.close();
  }
});

function logIn(address: string, password: string): Promise<Response> {
  return fetch(`${edge.url}/login`, {
    method: "POST",
    redirect: "manual",
    headers: { Origin: edge.url, "X-Forwarded-For": address },
    body: new URLSearchParams({ user: KIM.user, password }),
  });
}
