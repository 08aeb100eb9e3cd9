import { randomBytes } from "node:crypto";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Connector } from "../../client/connector.ts";
import { tlsTransport } from "../../client/node/tls-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { ServiceClient } from "../../client/service-client.ts";
import { SessionWatch } from "../../client/session-watch.ts";
import { type ReceivedWebhook, WebhookReceiver } from "../../client/webhook-receiver.ts";
import { freePort } from "../../dev/free-port.ts";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { parseToken, SESSION_COOKIE } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import { CookieClient } from "../support/peers/cookie-client.ts";
import { BridgeProgram } from "../support/processes/bridge-program.ts";
import { ChatBrowser, DESKTOP, launchChromium } from "../support/processes/chromium.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { until } from "../support/until.ts";

const PASSWORD = "correct horse battery";
const ROOM = "arena";

/** A check for what the sessions of a login may enter. */
const CHECK = `/v1/check?resource=room:${ROOM}`;

/** Machines are shared: what is asserted is far more than what is measured and printed. */
const GENEROUS_MS = 5_000;

/** Real parts: workerd, Redis behind redis-rest, two bridges, a receiver of webhooks, Chromium. */
let stack: RunningStack;
let secondBridge: BridgeProgram;
let secondCheckPort: number;
let receiver: WebhookReceiver;
let chromium: Browser;
const webhooks: { readonly message: ReceivedWebhook; readonly atMs: number }[] = [];
const refusals: string[] = [];
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  receiver = await WebhookReceiver.open({
    host: "127.0.0.1",
    port: 0,
    secrets: [secret],
    onMessage: (message) => webhooks.push({ message, atMs: Date.now() }),
    onRefused: (reason) => refusals.push(reason),
  });
  stack = await startStackOn("redis", { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: secret });
  secondCheckPort = await freePort();
  const variables = { API_KEY: stack.apiKey, CHECK_PORT: String(secondCheckPort) };
  secondBridge = await BridgeProgram.start({ edgeUrl: stack.edgeUrl, variables });
  chromium = await launchChromium();
});
afterAll(async () => {
  for (const close of closing) await close();
  await chromium?.close();
  await secondBridge?.kill();
  await stack?.close();
  await receiver?.close();
});

describe("the end of all sessions of a cheater, by an operator in the console,", () => {
  test("is known within moments to the room, the tab, both game servers and the webhook, and no check says Ok any more", async () => {
    const name = "cheater";
    const user = `web:${name}`;
    const tab = await openTab(name);
    const player = await enterRoom(await logIn(name));
    const inGame = await logIn(name);
    await until(async () => (await tab.members()).length === 2);
    const cookies = await tab.context.cookies(stack.edgeUrl);
    const tabSession = await sessionOf(cookies.find((cookie) => cookie.name === SESSION_COOKIE)?.value);
    const sessids = [tabSession.sessid, player.session.sessid, inGame.sessid].sort();

    const servers = [await openServer(firstBridge(), inGame), await openServer(secondGame(), inGame)];
    const checks = await keepChecking(inGame);
    const operator = await openConsole();
    await operator.goto(`${stack.edgeUrl}/console#sessions?user=${encodeURIComponent(user)}`);
    await operator.getByRole("button", { name: "End all 3" }).click();
    const press = operator.getByRole("dialog").getByRole("button", { name: "End all", exact: true });
    await press.waitFor();

    // Each part notes itself when it knows.
    const pressed = firstMs(
      operator,
      "pressed",
      "addEventListener('click', () => resolve(Date.now()), { capture: true })",
    );
    const seenByOperator = firstMs(operator, "reached", whenText("[role=status]", "Ended 3 sessions"));
    const seenInTab = firstMs(tab.page, "closed", whenText("#state", "^Not connected$"));
    await Promise.all([pressed.isSet, seenByOperator.isSet, seenInTab.isSet]);
    const answered = operator.waitForResponse((response) => response.request().method() === "DELETE").then(Date.now);
    await press.click();

    const pressedMs = await pressed.ms();
    const answeredMs = await answered;
    const told = {
      "the player in the room": await player.closedMs,
      "the browser's tab": await seenInTab.ms(),
      "the game server at the first bridge": await servers[0]?.endedMs,
      "the game server at the second bridge": await servers[1]?.endedMs,
      "the webhook, of all three": await until(() => endsOf(user)[2]?.atMs),
      "the console": await seenByOperator.ms(),
    };
    for (const [who, atMs = Number.NaN] of Object.entries(told)) {
      process.stdout.write(`${who} knew ${atMs - pressedMs} ms after the press\n`);
      expect(atMs - pressedMs, who).toBeLessThan(GENEROUS_MS);
    }
    process.stdout.write(`the end was answered ${answeredMs - pressedMs} ms after the press\n`);

    // No check that was sent after the answer says Ok; before the press, each place did.
    await until(() => checks.every(({ sent }) => (sent.at(-1)?.atMs ?? 0) > answeredMs));
    for (const { place, sent } of checks) {
      expect(
        sent.some(({ isOk, atMs }) => isOk && atMs < pressedMs),
        `${place}, before`,
      ).toBe(true);
      expect(
        sent.filter(({ isOk, atMs }) => isOk && atMs > answeredMs),
        `${place}, after`,
      ).toEqual([]);
    }
    for (const session of [tabSession, player.session, inGame]) {
      for (const { place, check } of places(session)) expect(await check(), place).toBe(false);
    }

    // What each was told.
    expect(await player.closed).toMatchObject({ code: ClosedCode.SessionInvalid, message: "the session was ended" });
    await tab.page.getByText("The session was ended. This browser did not end the session.").waitFor();
    expect(
      endsOf(user)
        .map(({ data }) => data.sessid)
        .sort(),
    ).toEqual(sessids);
    expect(endsOf(user)).toMatchObject(Array(3).fill({ type: "session.ended", data: { reason: "deleted" } }));
    expect(refusals).toEqual([]);
    expect(await operator.getByText(/^Ended 3 sessions\. 2 of 2 bridges, at position \S+\.$/).count()).toBe(1);
    await operator.getByRole("navigation", { name: "Console" }).getByRole("link", { name: "Live" }).click();
    await until(async () => {
      const rows = await operator.locator(".log tbody tr").allInnerTexts();
      return sessids.every((sessid) => rows.some((row) => /deleted/.test(row) && row.includes(String(sessid))));
    });
    expect(tab.complaints).toEqual([]);
  });
});

interface EndMessage {
  readonly type: string;
  readonly data: { readonly sessid: number; readonly user: string | null; readonly reason: string };
}

interface Session {
  readonly sessid: number;
  readonly token: string;
}

/** The ends of this user's sessions that the webhook was told of. Logins end the sessions that browsers had before them. */
function endsOf(user: string) {
  const told = webhooks.map(({ message, atMs }) => ({ ...(message.payload as EndMessage), atMs }));
  return told.filter(({ data }) => data.user === user);
}

/** The session of a token. */
async function sessionOf(token = ""): Promise<Session> {
  const shown = await fetch(`${stack.edgeUrl}/v1/session`, { headers: { Authorization: `Bearer ${token}` } });
  return { sessid: ((await shown.json()) as Session).sessid, token };
}

/** Another login of the same account, as a game's launcher makes it. */
async function logIn(name: string): Promise<Session> {
  const client = new CookieClient(stack.edgeUrl);
  await client.submit("/login", { user: name, password: PASSWORD });
  return sessionOf(client.cookie);
}

/** The page of the room, in the browser of somebody who has signed up. */
async function openTab(name: string): Promise<ChatBrowser> {
  const tab = await ChatBrowser.open(chromium, DESKTOP);
  closing.push(() => tab.context.close());
  await tab.page.goto(`${stack.edgeUrl}/signup?return=/rooms/${ROOM}`);
  await tab.page.getByLabel("User name").fill(name);
  await tab.page.getByLabel("Password").fill(PASSWORD);
  await tab.page.getByRole("button", { name: "Sign up" }).click();
  await tab.stateIs("Connected");
  return tab;
}

/** A player in the room, through the player port of the first bridge. */
async function enterRoom(session: Session) {
  const token = parseToken(session.token) ?? new Uint8Array(0);
  const trust = { fingerprint: stack.playerFingerprint };
  const connection = new ReliableConnection({
    transport: tlsTransport({ ...stack.playerAddress, token, trust }),
    room: ROOM,
  });
  const closedMs = connection.closed.then(Date.now);
  const joined = new Promise((resolve) => connection.on("joined", resolve));
  connection.connect();
  await joined;
  closing.push(() => connection.disconnect());
  return { session, closed: connection.closed, closedMs };
}

const firstBridge = () => new Connector(stack.gameAddress);
const firstCheck = () => new URL(CHECK, stack.checkUrl).href;
const secondCheck = () => `http://127.0.0.1:${secondCheckPort}${CHECK}`;
const secondGame = () => new Connector({ host: "127.0.0.1", port: secondBridge.gamePort });

/** A game server that watches the sessions that it has found Ok. */
async function openServer(connector: Connector, { sessid }: Session): Promise<{ readonly endedMs: Promise<number> }> {
  const watch = await SessionWatch.open({ connector, scope: "known" });
  closing.push(() => watch.close());
  expect((await watch.request({ kind: "check", sessid })).status).toBe(Status.Ok);
  const findEnd = async (): Promise<number> => {
    for await (const event of watch) if (event.kind === "ended" && event.sessid === sessid) return Date.now();
    return Number.NaN;
  };
  return { endedMs: findEnd() };
}

interface Place {
  readonly place: string;
  /** Whether the session is Ok there. */
  check(): Promise<boolean>;
}

const clients = new Map<string, Promise<ServiceClient>>();

/** Where the session can be checked: at the edge, at both bridges' check ports, and at both bridges' game ports. */
function places({ sessid, token }: Session): Place[] {
  const http = (place: string, url: string): Place => ({
    place,
    check: async () => (await fetch(url, { headers: { Authorization: `Bearer ${token}` } })).status === 200,
  });
  const tcp = (place: string, connector: Connector): Place => ({
    place,
    check: async () => {
      const client = clients.get(place) ?? connector.connect((socket) => new ServiceClient(socket));
      if (!clients.has(place)) closing.push(async () => (await client).close());
      clients.set(place, client);
      return (await (await client).request({ kind: "check", sessid })).status === Status.Ok;
    },
  });
  return [
    http("the edge", `${stack.edgeUrl}${CHECK}`),
    http("the first bridge's check port", firstCheck()),
    http("the second bridge's check port", secondCheck()),
    tcp("the first bridge's game port", firstBridge()),
    tcp("the second bridge's game port", secondGame()),
  ];
}

/** Checks a session everywhere, again and again, once both bridges answer from memory. Each check has the time when it was sent. */
async function keepChecking(session: Session) {
  for (const url of [firstCheck(), secondCheck()]) {
    const headers = { Authorization: `Bearer ${session.token}` };
    await until(async () => (await fetch(url, { headers })).headers.get("X-Check-Source") === "lease");
  }
  let stopped = false;
  closing.push(() => {
    stopped = true;
  });
  return places(session).map(({ place, check }) => {
    const sent: { readonly atMs: number; readonly isOk: boolean }[] = [];
    const keepOn = async (): Promise<void> => {
      while (!stopped) {
        const atMs = Date.now();
        sent.push({ atMs, isOk: await check() });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    closing.push(() => running);
    const running = keepOn();
    return { place, sent };
  });
}

/** The console of an operator who may end sessions. */
async function openConsole(): Promise<Page> {
  const grants = ["console:write"];
  await askAsService(stack, "POST", "/v1/accounts", { name: "operator", password: PASSWORD, grants });
  const context = await chromium.newContext({ viewport: DESKTOP });
  closing.push(() => context.close());
  const page = await context.newPage();
  await page.goto(`${stack.edgeUrl}/console`);
  await page.getByLabel("User name").fill("operator");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await until(async () => (await page.locator("#state").textContent()) === "Live");
  return page;
}

/** Lets a page note the time of something itself, so that the way to this process does not count. */
function firstMs(page: Page, name: string, script: string) {
  const isSet = page.evaluate(`void (window.${name}Ms = new Promise((resolve) => { ${script} }))`);
  return { isSet, ms: () => page.evaluate<number>(`window.${name}Ms`) };
}

/** A script that resolves with the time when an element has this text. */
function whenText(selector: string, pattern: string): string {
  return `const look = () => {
    const found = [...document.querySelectorAll(${JSON.stringify(selector)})];
    if (found.some(({ textContent }) => new RegExp(${JSON.stringify(pattern)}).test(textContent.trim()))) resolve(Date.now());
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });`;
}
