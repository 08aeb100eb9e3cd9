import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Edge, startEdge } from "../../dev/edge.ts";
import { Chromium } from "../support/chromium.ts";

const PASSWORD = "correct horse battery";
const NEW_PASSWORD = "staple horse battery";

let edge: Edge;
let chromium: Chromium;
let other: Chromium;

beforeAll(async () => {
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: "test-key" } });
});
afterAll(() => edge.close());
beforeEach(async () => {
  [chromium, other] = [await Chromium.create(), await Chromium.create()];
});
afterEach(async () => {
  await Promise.all([chromium.dispose(), other.dispose()]);
});

it("changes the password without JavaScript, by keyboard, and throws the other browser out", async () => {
  const here = await (await chromium.open({ javaScriptEnabled: false })).newPage();
  const there = await (await other.open()).newPage();
  await enter(here, "signup", "kim");
  await enter(there, "login", "kim");
  await here.goto(`${edge.url}/me`);
  await here.getByRole("link", { name: "Change your password" }).click();
  for (const typed of ["wrong password", NEW_PASSWORD, NEW_PASSWORD]) {
    await here.keyboard.type(typed);
    await here.keyboard.press("Tab");
  }
  await here.keyboard.press("Enter");
  await here.getByRole("alert").waitFor();
  const current = here.getByLabel("Current password");
  expect(await current.getAttribute("aria-describedby")).toContain("error");
  // The focus is where the mistake is.
  for (const typed of [PASSWORD, NEW_PASSWORD, NEW_PASSWORD]) {
    await here.keyboard.type(typed);
    await here.keyboard.press("Tab");
  }
  await here.keyboard.press("Enter");
  await here.waitForURL(`${edge.url}/me`);
  expect(await here.getByRole("listitem").filter({ hasText: "this browser" }).count()).toBe(1);
  await there.goto(`${edge.url}/me`);
  expect(new URL(there.url()).pathname).toBe("/login");
  await enter(there, "login", "kim", NEW_PASSWORD);
  expect(new URL(there.url()).pathname).toBe("/me");
});

it("ends all other sessions, then deletes the account", async () => {
  const [here, there] = [await (await chromium.open()).newPage(), await (await other.open()).newPage()];
  const problems: string[] = [];
  here.on("console", (message) => problems.push(message.text()));
  await enter(here, "signup", "lee");
  await enter(there, "login", "lee");
  await here.goto(`${edge.url}/me`);
  await here.getByRole("button", { name: "End all others" }).click();
  await here.getByLabel("Password").fill(PASSWORD);
  await here.getByRole("button", { name: "End all other sessions" }).click();
  await here.waitForURL(`${edge.url}/me`);
  expect(await here.getByRole("button", { name: "End all others" }).count()).toBe(0);
  await there.goto(`${edge.url}/me`);
  expect(new URL(there.url()).pathname).toBe("/login");

  await here.getByRole("link", { name: "Delete your account" }).click();
  await here.getByLabel("Password").fill(PASSWORD);
  await here.getByRole("button", { name: "Delete account" }).click();
  await here.getByText("Your account is deleted").waitFor();
  await here.goto(`${edge.url}/me`);
  expect(new URL(here.url()).pathname).toBe("/login");
  // Nothing broke the content security policy.
  expect(problems).toEqual([]);
});

/** Signs up or logs in; the page after it is there when this resolves. */
async function enter(page: Page, form: "signup" | "login", user: string, password = PASSWORD): Promise<void> {
  await page.goto(`${edge.url}/${form}?return=/me`);
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByLabel("Password").press("Enter");
  await page.waitForURL(`${edge.url}/me`);
}
