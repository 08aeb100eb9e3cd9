import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { selfSigned } from "../support/peers/certificates.ts";
import { launchChromium, PersistentChromium } from "../support/processes/chromium.ts";
import { startNginx } from "../support/processes/proxies.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const PASSWORD = "correct horse battery";
const NEW_PASSWORD = "staple horse battery";

let edge: Edge;
let chromium: Browser;
const contexts: BrowserContext[] = [];
let nextUser = 0;

beforeAll(async () => {
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: "test-key" } });
  chromium = await launchChromium();
});
afterAll(async () => {
  await chromium.close();
  await edge.close();
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

describe("a login in Chromium", () => {
  test("starts from a first visit's session, holds in a second tab, and ends when the browser closes", async () => {
    const user = newUser();
    const browser = await PersistentChromium.create();
    try {
      const context = await browser.open();
      const page = await context.newPage();
      const complaints = complaintsOf(page);

      await page.goto(edge.url);
      const [first] = await context.cookies();
      expect(first).toMatchObject({
        name: "__Host-sid",
        httpOnly: true,
        secure: true,
        sameSite: "Lax",
        path: "/",
        expires: -1,
      });

      await page.goto(`${edge.url}/me`);
      expect(pathOf(page)).toBe("/login");
      await page.getByRole("link", { name: "Sign up" }).last().click();
      await submitAccount(page, user, "Sign up");
      expect(pathOf(page)).toBe("/me");
      expect(await headingOf(page)).toBe(user);
      const [second] = await context.cookies();
      expect(second?.value).not.toBe(first?.value);

      const tab = await context.newPage();
      await tab.goto(edge.url);
      expect(await headingOf(tab)).toBe(`Hello, ${user}`);
      // The content security policy allows all that the pages load.
      expect(complaints).toEqual([]);
      expect(await tab.evaluate("getComputedStyle(document.body).margin")).toBe("0px");

      await browser.close();
      const reopened = await (await browser.open()).newPage();
      await reopened.goto(`${edge.url}/me`);
      expect(pathOf(reopened)).toBe("/login");
    } finally {
      await browser.dispose();
    }
  });

  test("works at localhost as at 127.0.0.1", async () => {
    const page = await openPage();
    const user = newUser();
    await page.goto(`${edge.url.replace("127.0.0.1", "localhost")}/signup?return=/me`);
    await submitAccount(page, user, "Sign up");
    expect(await headingOf(page)).toBe(user);
  });

  test("leaves no private page behind after the logout, not even with the back button", async () => {
    const page = await openPage();
    const user = await signUp(page);
    await page.goto(`${edge.url}/me`);
    await page.getByRole("button", { name: "Log out", exact: true }).click();
    await page.waitForURL(`${edge.url}/`);
    expect(await headingOf(page)).toBe("Artoria");
    await page.goBack();
    expect(pathOf(page)).toBe("/login");
    expect(await page.content()).not.toContain(user);
  });

  test("keeps two users in two browsers apart", async () => {
    const pages = [await openPage(), await openPage()];
    const users = await Promise.all(pages.map(signUp));
    await Promise.all(pages.map((page) => page.goto(`${edge.url}/me`)));
    expect(await Promise.all(pages.map(headingOf))).toEqual(users);
  });

  test("works without JavaScript, by keyboard, and shows at the field what was wrong", async () => {
    const page = await openPage({ javaScriptEnabled: false });
    await page.goto(`${edge.url}/signup`);
    await page.keyboard.type("not a name");
    await page.keyboard.press("Tab");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    const field = page.getByRole("textbox", { name: "User name" });
    await page.getByRole("alert").waitFor();
    expect(await field.getAttribute("aria-describedby")).toContain("error");
    await field.fill(newUser());
    await page.getByLabel("Password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.waitForURL(`${edge.url}/`);
  });

  test("works behind a proxy that ends TLS, with a cookie that only TLS carries", async () => {
    const directory = await mkdtemp(join(tmpdir(), "artoria-tls-"));
    const { cert, key } = await selfSigned("artoria");
    await Promise.all([writeFile(`${directory}/cert`, cert), writeFile(`${directory}/key`, key)]);
    const proxy = await startNginx(
      (port) => `server {
  listen 127.0.0.1:${port} ssl;
  ssl_certificate ${directory}/cert;
  ssl_certificate_key ${directory}/key;
  location / { proxy_pass ${edge.url}; proxy_set_header Host $http_host; }
}`,
    );
    try {
      const page = await openPage({ ignoreHTTPSErrors: true });
      const user = newUser();
      const site = proxy.url.replace("http:", "https:");
      await page.goto(`${site}/signup?return=/me`);
      await submitAccount(page, user, "Sign up");
      expect(page.url()).toBe(`${site}/me`);
      expect(await headingOf(page)).toBe(user);
      const session = (await page.context().cookies()).find(({ name }) => name === "__Host-sid");
      expect(session).toMatchObject({ secure: true, sameSite: "Lax" });
      await page.getByRole("button", { name: "Log out", exact: true }).click();
      await page.waitForURL(`${site}/`);
      await page.goto(`${site}/me`);
      expect(pathOf(page)).toBe("/login");
    } finally {
      await proxy.stop();
      await rm(directory, { recursive: true });
    }
  });
});

describe("the account page in Chromium", () => {
  test("lists another browser's session and ends it", async () => {
    const [here, there] = [await openPage(), await openPage()];
    await logIn(there, await signUp(here));
    expect(await sessionsOn(there)).toBe(2);
    await here.goto(`${edge.url}/me`);
    await here.getByRole("button", { name: /^End, / }).click();
    await here.getByLabel("Password").fill(PASSWORD);
    await here.getByRole("button", { name: "End this session" }).click();
    await here.waitForURL(/\/me$/);
    expect(await sessionsOn(here)).toBe(1);
    await there.reload();
    expect(pathOf(there)).toBe("/login");
  });

  test("changes the password without JavaScript, by keyboard, and logs the other browser out", async () => {
    const [here, there] = [await openPage({ javaScriptEnabled: false }), await openPage()];
    const user = await signUp(here);
    await logIn(there, user);
    await here.goto(`${edge.url}/me`);
    await here.getByRole("link", { name: "Change your password" }).click();
    await typeIntoFields(here, ["wrong password", NEW_PASSWORD, NEW_PASSWORD]);
    await here.getByRole("alert").waitFor();
    const current = here.getByLabel("Current password");
    expect(await current.getAttribute("aria-describedby")).toContain("error");
    // The field with the mistake has the focus.
    await typeIntoFields(here, [PASSWORD, NEW_PASSWORD, NEW_PASSWORD]);
    await here.waitForURL(`${edge.url}/me`);
    expect(await here.getByRole("listitem").filter({ hasText: "this browser" }).count()).toBe(1);
    await there.goto(`${edge.url}/me`);
    expect(pathOf(there)).toBe("/login");
    await logIn(there, user, NEW_PASSWORD);
    expect(pathOf(there)).toBe("/me");
  });

  test("ends all other sessions, then deletes the account", async () => {
    const [here, there] = [await openPage(), await openPage()];
    const complaints = complaintsOf(here);
    await logIn(there, await signUp(here));
    await here.goto(`${edge.url}/me`);
    await here.getByRole("button", { name: "End all others" }).click();
    await here.getByLabel("Password").fill(PASSWORD);
    await here.getByRole("button", { name: "End all other sessions" }).click();
    await here.waitForURL(`${edge.url}/me`);
    expect(await here.getByRole("button", { name: "End all others" }).count()).toBe(0);
    await there.goto(`${edge.url}/me`);
    expect(pathOf(there)).toBe("/login");

    await here.getByRole("link", { name: "Delete your account" }).click();
    await here.getByLabel("Password").fill(PASSWORD);
    await here.getByRole("button", { name: "Delete account" }).click();
    await here.getByText("Your account is deleted").waitFor();
    await here.goto(`${edge.url}/me`);
    expect(pathOf(here)).toBe("/login");
    expect(complaints).toEqual([]);
  });
});

/** A page in a browser of its own: no cookie is shared with another. */
async function openPage(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await chromium.newContext(options);
  contexts.push(context);
  return context.newPage();
}

/** What Chromium says about the page from now on: broken scripts, and what the content security policy refused. */
function complaintsOf(page: Page): readonly string[] {
  const complaints: string[] = [];
  page.on("console", (message) => {
    // Chromium says so if a field was filled before the page was complete.
    if (!message.text().startsWith("Autofocus processing was blocked")) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return complaints;
}

function pathOf(page: Page): string {
  return new URL(page.url()).pathname;
}

function headingOf(page: Page): Promise<string | null> {
  return page.getByRole("heading", { level: 1 }).textContent();
}

/** How many sessions the page of an account lists. */
function sessionsOn(page: Page): Promise<number> {
  return page.getByRole("list", { name: "Where you are logged in" }).getByRole("listitem").count();
}

function newUser(): string {
  nextUser += 1;
  return `chromium-${nextUser}`;
}

async function signUp(page: Page): Promise<string> {
  const user = newUser();
  await page.goto(`${edge.url}/signup`);
  await submitAccount(page, user, "Sign up");
  return user;
}

async function logIn(page: Page, user: string, password = PASSWORD): Promise<void> {
  await page.goto(`${edge.url}/login?return=/me`);
  await submitAccount(page, user, "Log in", password);
}

/** Sends the form of an account, and resolves on the page after it. */
async function submitAccount(page: Page, user: string, button: "Log in" | "Sign up", password = PASSWORD) {
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(password);
  const form = pathOf(page);
  await page.getByRole("button", { name: button }).click();
  await page.waitForURL(({ pathname }) => pathname !== form);
}

/** Types into the fields of a form, from the one with the focus on, and sends it. */
async function typeIntoFields(page: Page, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    await page.keyboard.type(text);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
}
