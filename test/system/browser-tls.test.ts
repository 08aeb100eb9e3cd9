import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { expect, it } from "vitest";
import { startEdge } from "../../dev/edge.ts";
import { selfSigned } from "../support/certificates.ts";
import { CHROMIUM_LAUNCH } from "../support/chromium.ts";
import { startNginx } from "../support/proxy-program.ts";

it("a browser signs up, stays logged in and logs out behind TLS", async () => {
  const directory = await mkdtemp(join(tmpdir(), "artoria-tls-"));
  const { cert, key } = await selfSigned("artoria");
  await Promise.all([writeFile(`${directory}/cert`, cert), writeFile(`${directory}/key`, key)]);
  const edge = await startEdge({ host: "127.0.0.1", port: 0, variables: {} });
  const proxy = await startNginx(
    (port) => `server {
  listen 127.0.0.1:${port} ssl;
  ssl_certificate ${directory}/cert;
  ssl_certificate_key ${directory}/key;
  location / { proxy_pass ${edge.url}; proxy_set_header Host $http_host; }
}`,
  );
  const browser = await chromium.launch(CHROMIUM_LAUNCH);
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    const site = proxy.url.replace("http:", "https:");
    await page.goto(`${site}/signup?return=/me`);
    await page.getByLabel("User name").fill("kim");
    await page.getByLabel("Password").fill("correct horse battery");
    await page.getByRole("button", { name: "Sign up" }).click();
    await page.waitForURL(`${site}/me`);
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("kim");
    const session = (await context.cookies()).find(({ name }) => name === "__Host-sid");
    expect(session).toMatchObject({ secure: true, sameSite: "Lax" });
    await page.getByRole("button", { name: "Log out", exact: true }).click();
    await page.waitForURL(`${site}/`);
    await page.goto(`${site}/me`);
    expect(new URL(page.url()).pathname).toBe("/login");
  } finally {
    await browser.close();
    await proxy.stop();
    await edge.close();
    await rm(directory, { recursive: true });
  }
});
