import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TcpProxy } from "../support/peers/tcp-proxy.ts";
import { ChatBrowser, DESKTOP, launchChromium, PHONE } from "../support/processes/chromium.ts";
import { until } from "../support/until.ts";
import { type Edge, startEdge } from "../support/workerd/miniflare-edge.ts";

const API_KEY = "test-key";

let edge: Edge;
let network: TcpProxy;
let chromium: Browser;
let people: ChatBrowser[];
let room: string;
let nextRoom = 0;

beforeAll(async () => {
  edge = await startEdge({ host: "127.0.0.1", port: 0, variables: { API_KEYS: API_KEY } });
  network = await TcpProxy.open(Number(new URL(edge.url).port));
  chromium = await launchChromium();
});
afterAll(async () => {
  await chromium.close();
  await network.close();
  await edge.close();
});
beforeEach(() => {
  people = [];
  nextRoom += 1;
  room = `lobby-${nextRoom}`;
});
afterEach(async () => {
  for (const { context } of people) await context.close();
});

async function person(viewport = DESKTOP): Promise<ChatBrowser> {
  const browser = await ChatBrowser.open(chromium, viewport);
  people.push(browser);
  return browser;
}

/** The room's address with a token of this user's. */
async function addressFor(user: string, origin = edge.url): Promise<string> {
  const response = await fetch(`${edge.url}/v1/sessions`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  const { token } = (await response.json()) as { token: string };
  return `${origin}/rooms/${room}#token=${token}`;
}

async function enterAs(user: string, viewport = DESKTOP, origin = edge.url): Promise<ChatBrowser> {
  const browser = await person(viewport);
  await browser.enter(await addressFor(user, origin));
  return browser;
}

async function signUp({ page }: ChatBrowser, name: string): Promise<void> {
  await page.goto(`${edge.url}/signup?return=/rooms/${room}`);
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Sign up" }).click();
  await page.waitForURL(`**/rooms/${room}`);
}

function endAsOperator(user: string): Promise<Response> {
  const headers = { Authorization: `Bearer ${API_KEY}` };
  return fetch(`${edge.url}/v1/users/${encodeURIComponent(user)}/sessions`, { method: "DELETE", headers });
}

/** Waits until the page says this about the end of its session. */
async function endIs({ page }: ChatBrowser, wanted: string): Promise<void> {
  await until(async () => (await page.locator("#ended").textContent()) === wanted);
}

describe("the chat page", () => {
  it("shows two people each other's messages, the members, and earlier messages", async () => {
    const kim = await enterAs("kim");
    await kim.say("is anybody here?");
    await until(async () => (await kim.messages()).length === 1);
    const lee = await enterAs("lee", PHONE);
    expect(await lee.messages()).toEqual(["is anybody here?"]);
    await kim.shows(/^lee came in$/);
    await lee.say("yes: <b>me</b> & <script>alert(1)</script>");
    await until(async () => (await kim.messages()).length === 2);
    expect((await kim.messages())[1]).toBe("yes: <b>me</b> & <script>alert(1)</script>");
    expect((await kim.members()).sort()).toEqual(["kim", "lee"]);
    await lee.page.getByRole("button", { name: "Leave" }).click();
    await lee.stateIs("Not connected");
    await kim.shows(/^lee has left$/);
    expect([...kim.complaints, ...lee.complaints]).toEqual([]);
  });

  it("reconnects by itself, shows how long that took, and loses nothing", async () => {
    const { port } = network;
    const kim = await enterAs("kim", PHONE, `http://127.0.0.1:${port}`);
    const lee = await enterAs("lee");
    await kim.context.setOffline(true);
    network.refuse();
    await kim.shows(/^Connection lost/);
    await lee.shows(/^kim has lost the connection$/);
    for (const text of ["one", "two"]) await lee.say(text);
    await kim.say("three");
    await until(async () => (await kim.page.getByRole("alert").textContent())?.startsWith("It is kept") === true);
    network.restore();
    await kim.context.setOffline(false);
    await kim.shows(/^Back: gap \d+ ms, \d+ replayed\.$/);
    await until(async () => (await lee.messages()).length === 3 && (await kim.messages()).length === 3);
    expect(await kim.messages()).toEqual(["one", "two", "three"]);
    expect(await lee.messages()).toEqual(["one", "two", "three"]);
    await lee.shows(/^kim is back$/);
    await kim.keepScreenshot("chat-phone");
    await lee.keepScreenshot("chat-desktop");
    expect([...kim.complaints, ...lee.complaints]).toEqual([]);
  });

  it("probes its connection at once when the network or the page's visibility has changed", async () => {
    const kim = await person();
    let pings = 0;
    kim.page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => {
        if (payload === "ping") pings += 1;
      });
    });
    await kim.enter(await addressFor("kim"));
    for (const change of [
      "dispatchEvent(new Event('online'))",
      "document.dispatchEvent(new Event('visibilitychange'))",
    ]) {
      const before = pings;
      await kim.page.evaluate(change);
      await until(() => pings > before);
    }
    expect(await kim.members()).toEqual(["kim"]);
  });

  it("admits a browser by its cookie after a sign-up, and nobody without one", async () => {
    const kim = await person();
    await kim.page.goto(`${edge.url}/rooms/${room}`);
    await kim.stateIs("Not connected: log in to chat");
    await signUp(kim, `kim-${room}`);
    await kim.stateIs("Connected");
    expect(await kim.members()).toEqual([`web:kim-${room}`]);
    expect(kim.complaints).toEqual([]);
  });

  it("removes the token from the address and the history at once, and shows the user", async () => {
    const lee = await person();
    const address = await addressFor("lee");
    await lee.enter(address);
    const [page] = address.split("#");
    expect(lee.page.url()).toBe(page);
    expect(await lee.page.evaluate("location.href + history.length")).toBe(`${page}2`);
    await until(
      async () => (await lee.page.locator("#who").textContent()) === "You are here as lee by the token in the address.",
    );
    expect(await lee.members()).toEqual(["lee"]);
    // Another link over the same page is read, and taken out, as the first.
    await lee.page.evaluate(`location.hash = ${JSON.stringify(new URL(await addressFor("ann")).hash)}`);
    await until(async () => (await lee.page.locator("#who").textContent())?.includes("as ann") === true);
    await lee.stateIs("Connected");
    expect(lee.page.url()).toBe(page);
    expect(lee.complaints).toEqual([]);
  });

  it("reports an invalid token in the address, and removes it", async () => {
    const lee = await person();
    for (const token of ["nonsense", "A".repeat(27)]) {
      await lee.page.goto("about:blank");
      await lee.page.goto(`${edge.url}/rooms/${room}#token=${token}`);
      await lee.stateIs("Not connected: the token in the address is not valid");
      expect(lee.page.url()).not.toContain(token);
    }
  });

  it("lets a logged-in user choose whether to enter with the token in the address", async () => {
    const kim = await person();
    const name = `kim-${room}`;
    await signUp(kim, name);
    await kim.stateIs("Connected");
    await kim.page.goto("about:blank");
    const address = await addressFor("eve");
    await kim.page.goto(address);
    const asLogin = kim.page.getByRole("button", { name: `Enter as web:${name}` });
    await asLogin.waitFor();
    await kim.stateIs("Not connected");
    expect(kim.page.url()).toBe(address.split("#")[0]);
    await asLogin.click();
    await kim.stateIs("Connected");
    expect(await kim.members()).toContain(`web:${name}`);
    expect(await kim.page.locator("#who").textContent()).toBe(`You are here as web:${name}.`);
    await kim.page.goto("about:blank");
    await kim.page.goto(address);
    await kim.page.getByRole("button", { name: "Enter as eve" }).click();
    await kim.stateIs("Connected");
    expect(await kim.members()).toContain("eve");
    expect(kim.complaints).toEqual([]);
  });

  it.each([
    ["phone", PHONE],
    ["desktop", DESKTOP],
  ])("fits a %s without sideways scrolling, and works by keyboard alone", async (_name, viewport) => {
    const kim = await enterAs("kim", viewport);
    await kim.page.getByLabel("Message", { exact: true }).focus();
    await kim.page.keyboard.type("w".repeat(300));
    await kim.page.keyboard.press("Enter");
    await until(async () => (await kim.messages()).length === 1);
    const overflow = await kim.page.evaluate("document.documentElement.scrollWidth - innerWidth");
    expect(overflow).toBeLessThanOrEqual(0);
    const focused = await kim.page.evaluate("document.activeElement.id");
    expect(focused).toBe("text");
    expect(await kim.page.getByRole("log", { name: "Messages" }).count()).toBe(1);
    expect(await kim.page.getByRole("status").textContent()).toContain("Connected");
  });
});

describe("the chat page whose session ends", () => {
  it.each([
    ["phone", PHONE],
    ["desktop", DESKTOP],
  ])("by a logout in another tab says so, and does not dial again (%s)", async (device, viewport) => {
    const kim = await person(viewport);
    const [name, lee] = [`kim-${device}-${room}`, await enterAs("lee")];
    await signUp(kim, name);
    await kim.stateIs("Connected");
    await kim.say("brb");
    let dials = 0;
    kim.page.on("websocket", () => {
      dials += 1;
    });
    const tab = await kim.context.newPage();
    await tab.goto(edge.url);
    await tab.getByRole("button", { name: "Log out" }).click();
    await endIs(kim, "You were logged out. Enter again");
    await kim.stateIs("Not connected");
    await lee.shows(new RegExp(`^web:${name} has left$`));
    expect(await kim.page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
    await kim.keepScreenshot(`chat-logged-out-${device}`);
    // What makes a client dial that still wants to be connected.
    await kim.page.evaluate("dispatchEvent(new Event('online'))");
    await kim.page.getByRole("link", { name: "Enter again" }).click();
    await kim.stateIs("Not connected: log in to chat");
    expect(dials).toBe(0);
    expect(kim.complaints).toEqual([]);
  });

  it("by somebody else says that it was not this browser", async () => {
    const kim = await person();
    await signUp(kim, `kim-${room}`);
    await kim.stateIs("Connected");
    await endAsOperator(`web:kim-${room}`);
    await endIs(kim, "The session was ended. This browser did not end the session. Enter again");
    expect(kim.complaints).toEqual([]);
  });

  it("by another login in this browser says so, and can enter again", async () => {
    const kim = await person();
    const name = `kim-${room}`;
    await signUp(kim, name);
    await kim.stateIs("Connected");
    const tab = await kim.context.newPage();
    await tab.goto(`${edge.url}/login`);
    await tab.getByLabel("User name").fill(name);
    await tab.getByLabel("Password").fill("correct horse battery");
    await tab.getByRole("button", { name: "Log in" }).click();
    await endIs(kim, "You have logged in again. Enter again");
    await kim.page.getByRole("link", { name: "Enter again" }).click();
    await kim.stateIs("Connected");
    await endAsOperator(`web:${name}`);
    await endIs(kim, "The session was ended. This browser did not end the session. Enter again");
  });

  it("and that has entered by a token says what the room says", async () => {
    const lee = await enterAs("lee");
    await endAsOperator("lee");
    await endIs(lee, "The session was ended. Enter again");
  });

  it("while it is offline finds out when it is back, and gives up", async () => {
    const kim = await enterAs("kim", DESKTOP, `http://127.0.0.1:${network.port}`);
    await kim.context.setOffline(true);
    network.refuse();
    await kim.shows(/^Connection lost/);
    await endAsOperator("kim");
    network.restore();
    await kim.context.setOffline(false);
    await endIs(kim, "The session has ended. Enter again");
    await kim.stateIs("Not connected");
  });
});
