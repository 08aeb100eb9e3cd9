import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Edge, startEdge } from "../../dev/edge.ts";
import { Chromium } from "../support/chromium.ts";

const PASSWORD = "correct horse battery";

let edge: Edge;
let chromium: Chromium;
let nextUser = 0;

beforeAll(async () => {
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: "test-key" } });
});
afterAll(() => edge.close());
beforeEach(async () => {
  chromium = await Chromium.create();
});
afterEach(() => chromium.dispose());

it("gives a first visit a session, logs in and stays so in a second tab until the browser closes", async () => {
  const user = newUser();
  const context = await chromium.open();
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));

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
  expect(new URL(page.url()).pathname).toBe("/login");
  await page.getByRole("link", { name: "Sign up" }).last().click();
  await fillIn(page, user, "Sign up");
  expect(new URL(page.url()).pathname).toBe("/me");
  expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe(user);
  const [second] = await context.cookies();
  expect(second?.value).not.toBe(first?.value);

  const tab = await context.newPage();
  await tab.goto(edge.url);
  expect(await tab.getByRole("heading", { level: 1 }).textContent()).toBe(`Hello, ${user}`);
  // Neither the stylesheet nor the icon, a form nor anything else broke the content security policy.
  expect(problems).toEqual([]);
  expect(await tab.evaluate("getComputedStyle(document.body).margin")).toBe("0px");

  await chromium.close();
  const reopened = await (await chromium.open()).newPage();
  await reopened.goto(`${edge.url}/me`);
  expect(new URL(reopened.url()).pathname).toBe("/login");
});

it("works at localhost as at 127.0.0.1", async () => {
  const page = await (await chromium.open()).newPage();
  const site = edge.url.replace("127.0.0.1", "localhost");
  await page.goto(`${site}/signup?return=/me`);
  const user = newUser();
  await fillIn(page, user, "Sign up");
  expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe(user);
});

it("shows no private page after the logout, not even with the back button", async () => {
  const context = await chromium.open();
  const page = await context.newPage();
  const user = await signUp(page);
  await page.goto(`${edge.url}/me`);
  await page.getByRole("button", { name: "Log out", exact: true }).click();
  await page.waitForURL(`${edge.url}/`);
  expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Artoria");
  await page.goBack();
  expect(new URL(page.url()).pathname).toBe("/login");
  expect(await page.content()).not.toContain(user);
});

it("ends another browser's session from the page that lists them", async () => {
  const [here, other] = [await (await chromium.open()).newPage(), await Chromium.create()];
  try {
    const user = await signUp(here);
    const there = await (await other.open()).newPage();
    await there.goto(`${edge.url}/login?return=/me`);
    await fillIn(there, user, "Log in");
    expect(await sessionsOn(there)).toBe(2);
    await here.goto(`${edge.url}/me`);
    await here.getByRole("button", { name: /^End, / }).click();
    await here.getByLabel("Password").fill(PASSWORD);
    await here.getByRole("button", { name: "End this session" }).click();
    await here.waitForURL(/\/me$/);
    expect(await sessionsOn(here)).toBe(1);
    await there.reload();
    expect(new URL(there.url()).pathname).toBe("/login");
  } finally {
    await other.dispose();
  }
});

it("keeps two users in two browsers apart", async () => {
  const other = await Chromium.create();
  try {
    const pages = [await (await chromium.open()).newPage(), await (await other.open()).newPage()];
    const users = await Promise.all(pages.map(signUp));
    await Promise.all(pages.map((page) => page.goto(`${edge.url}/me`)));
    const shown = await Promise.all(pages.map((page) => page.getByRole("heading", { level: 1 }).textContent()));
    expect(shown).toEqual(users);
  } finally {
    await other.dispose();
  }
});

it("works without JavaScript, by keyboard, and says what was wrong at the field", async () => {
  const page = await (await chromium.open({ javaScriptEnabled: false })).newPage();
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
  await fillIn(page, user, "Sign up");
  return user;
}

/** Fills in the form and sends it; the page after it is there when this resolves. */
async function fillIn(page: Page, user: string, button: "Log in" | "Sign up"): Promise<void> {
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(PASSWORD);
  const form = new URL(page.url()).pathname;
  await page.getByRole("button", { name: button }).click();
  await page.waitForURL(({ pathname }) => pathname !== form);
}
