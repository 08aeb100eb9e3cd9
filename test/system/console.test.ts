import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import { parseToken } from "../../protocol/session-token.ts";
import { requestBytes } from "../support/peers/game-peer.ts";
import { BridgeProgram } from "../support/processes/bridge-program.ts";
import { DESKTOP, launchChromium, PHONE } from "../support/processes/chromium.ts";
import { askAsService, type RunningStack, startStackOn } from "../support/processes/running-stack.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { startRedisServer } from "../support/redis/redis-server.ts";
import { until } from "../support/until.ts";
import { startEdge } from "../support/workerd/miniflare-edge.ts";

const PASSWORD = "correct horse battery";

/** More than a user may have by default. */
const MANY_SESSIONS = 10_000;

/** The links to the parts that are not wholly seen. */
const CUT_TABS = `[...document.querySelectorAll(".parts a")].filter((tab) => tab.getBoundingClientRect().right >
  tab.closest(".parts").getBoundingClientRect().right).map((tab) => tab.textContent)`;

let stack: RunningStack;
/** Beside the stack's own. */
let bridge: BridgeProgram;
let redis: Redis;
let chromium: Browser;
const contexts: BrowserContext[] = [];
const players: ReliableConnection[] = [];
let nextName = 0;

beforeAll(async () => {
  stack = await startStackOn("redis", { MAX_SESSIONS_PER_USER: "0" });
  bridge = await BridgeProgram.start({ edgeUrl: stack.edgeUrl, variables: { API_KEY: stack.apiKey } });
  redis = new Redis(stack.redis?.url ?? "");
  chromium = await launchChromium();
});
afterAll(async () => {
  await chromium?.close();
  redis?.disconnect();
  await bridge?.kill();
  await stack?.close();
});
afterEach(async () => {
  for (const player of players.splice(0)) player.disconnect();
  for (const context of contexts.splice(0)) await context.close();
});

describe("the console, live", () => {
  test("shows what begins and ends, what users typed as text, and counts it", async () => {
    const { page, complaints } = await openConsole(["console"]);
    const user = newName("<img src=x onerror=alert(1)>");
    const sessid = await createSession(user);
    await rowsAre(page, [`began ${sessid} ${user}`]);
    await endSession(sessid);
    await rowsAre(page, [`deleted ${sessid} ${user}`, `began ${sessid} ${user}`]);
    const [{ sessions }] = [await count()];
    await until(async () => (await tile(page, "Sessions")) === sessions.toLocaleString("en-US"));
    await until(
      async () => (await page.getByRole("img", { name: /^Sessions and users, .* Now \d+ sessions/ }).count()) === 1,
    );
    expect(await page.locator("canvas").count()).toBe(2);
    expect(complaints).toEqual([]);
  });

  test("filters the log by kind, user and session, and pauses it", async () => {
    const { page } = await openConsole(["console"]);
    const [kim, lee] = [newName("kim"), newName("lee")];
    const [ofKim, ofLee] = [await createSession(kim), await createSession(lee)];
    await endSession(ofLee);
    const all = [`deleted ${ofLee} ${lee}`, `began ${ofLee} ${lee}`, `began ${ofKim} ${kim}`];
    await rowsAre(page, all);
    await page.getByLabel("What").selectOption("ended");
    await rowsAre(page, all.slice(0, 1));
    await page.getByLabel("What").selectOption("all");
    await page.getByLabel("User has", { exact: true }).fill(kim.toUpperCase());
    await rowsAre(page, all.slice(2));
    await page.getByLabel("User has", { exact: true }).fill("");
    await page.getByLabel("Session", { exact: true }).fill(String(ofLee));
    await rowsAre(page, all.slice(0, 2));
    await page.getByLabel("Session", { exact: true }).fill("");
    await page.getByRole("button", { name: "Pause" }).click();
    const later = await createSession(kim);
    await page.getByText("Paused; 1 since.").waitFor();
    await rowsAre(page, all);
    await page.getByRole("button", { name: "Pause" }).click();
    await rowsAre(page, [`began ${later} ${kim}`, ...all]);
  });

  test("stays small while thousands of sessions begin and end", async () => {
    const { page } = await openConsole(["console"]);
    const user = newName("many");
    await registerSessions(user, 3_000);
    await askAsService(stack, "DELETE", `/v1/users/${user}/sessions`);
    const { sessions } = await count();
    await until(async () => (await tile(page, "Sessions")) === sessions.toLocaleString("en-US"));
    await until(async () => (await rows(page))[0]?.startsWith("deleted"));
    expect(await rows(page)).toHaveLength(100);
    expect(await page.locator("*").count()).toBeLessThan(2_000);
    await page.getByText("The newest 100 of 1000 lines.").waitFor();
  });
});

describe("the console's sessions", () => {
  test("ends all sessions of a user, and says how far that reached", async () => {
    await Promise.all([stack.metricsUrl, `http://127.0.0.1:${bridge.metricsPort}`].map(holdsLease));
    const { page, complaints } = await openConsole(["console:write"]);
    const user = newName("cheater");
    await createSessions(user, 3);
    await find(page, user);
    await page.getByRole("heading", { name: `3 sessions of ${user}` }).waitFor();
    expect(await page.getByRole("listitem").filter({ hasText: "10.0.0.7" }).count()).toBe(3);
    await page.getByRole("button", { name: "End all 3" }).click();
    await page.getByRole("dialog", { name: `End all 3 sessions of ${user}?` }).waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect(await sessionsOf(user)).toBe(3);
    await page.getByRole("button", { name: "End all 3" }).click();
    await page.getByRole("button", { name: "End all", exact: true }).click();
    await page.getByText(/^Ended 3 sessions\. 2 of 2 bridges, at position \S+\.$/).waitFor();
    expect(await sessionsOf(user)).toBe(0);
    await page.getByRole("heading", { name: `0 sessions of ${user}` }).waitFor();
    expect(complaints).toEqual([]);
  });

  test("finds one session by its number, shows what is known of it, and ends it", async () => {
    const { page } = await openConsole(["console:write"]);
    const user = newName("kim");
    const sessid = await createSession(user, ["room:lobby", "/shop/*"]);
    await find(page, String(sessid));
    await page.getByRole("heading", { name: `Session of ${user}` }).waitFor();
    const item = page.getByRole("listitem").filter({ hasText: `Session ${sessid}` });
    for (const known of ["10.0.0.7", "room:lobby", "/shop/*"]) expect(await item.textContent()).toContain(known);
    await page.getByRole("button", { name: `End session ${sessid}` }).click();
    await page.getByRole("button", { name: "End it" }).click();
    await page.getByText(/^Ended 1 session\./).waitFor();
    await page.getByRole("heading", { name: `No session ${sessid}` }).waitFor();
  });

  test("finds a user whose name is a number", async () => {
    const { page } = await openConsole(["console"]);
    const user = String(1_000_000_000 + nextName);
    await createSession(user);
    await find(page, user);
    await page.getByRole("link", { name: user }).last().click();
    await page.getByRole("heading", { name: `1 session of ${user}` }).waitFor();
    // A session of this number exists, and no session can have the other.
    const sessid = String(await createSession(user));
    await createSession(sessid);
    await find(page, sessid);
    await page.getByRole("heading", { name: `Session of ${user}` }).waitFor();
    await page.getByRole("link", { name: sessid }).click();
    await page.getByRole("heading", { name: `1 session of ${sessid}` }).waitFor();
    const phone = String(8_000_000_000 + nextName);
    await createSession(phone);
    await find(page, phone);
    await page.getByRole("heading", { name: `1 session of ${phone}` }).waitFor();
  });

  test("shows characters that are not seen, also where it asks before an end", async () => {
    const { page } = await openConsole(["console:write"]);
    const user = `${newName("kim")}\u200B`;
    const shown = user.replace("\u200B", "⟨U+200B⟩");
    const sessid = await createSession(user);
    await find(page, String(sessid));
    await page.getByRole("link", { name: "All sessions of this user" }).click();
    await page.getByRole("heading", { name: `1 session of ${shown}` }).waitFor();
    await page.getByRole("button", { name: "End it" }).click();
    await page.getByRole("heading", { name: `End the session of ${shown}?` }).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
    await page.getByText(/^Ended 1 session/).waitFor();
    expect(await sessionsOf(user)).toBe(0);
  });

  test("marks a session that ends while it is shown", async () => {
    const { page } = await openConsole(["console:write"]);
    const sessid = await createSession(newName("kim"));
    await find(page, String(sessid));
    await page.getByRole("button", { name: `End session ${sessid}` }).waitFor();
    await endSession(sessid);
    await page.getByText("ended: deleted").waitFor();
    expect(await page.getByRole("button", { name: `End session ${sessid}` }).count()).toBe(0);
  });

  test("shows the newest 100 of 10,000 sessions, and ends them all", async () => {
    const { page } = await openConsole(["console:write"]);
    const user = newName("hoarder");
    await registerSessions(user, MANY_SESSIONS);
    await find(page, user);
    await page.getByText("The newest 100 of 10,000 sessions.").waitFor();
    expect(await page.getByRole("list", { name: "Sessions" }).getByRole("listitem").count()).toBe(100);
    await page.getByRole("button", { name: "End all 10,000" }).click();
    await page.getByRole("button", { name: "End all", exact: true }).click();
    await page.getByText(/^Ended 10,000 sessions\. /).waitFor();
    expect(await sessionsOf(user)).toBe(0);
  });

  test("warns an operator who is about to end the session of this console, and then closes it", async () => {
    const { page, name } = await openConsole(["console:write"]);
    await find(page, `web:${name}`);
    await page.getByText("this console").waitFor();
    await page.getByRole("button", { name: "End it" }).click();
    await page.getByText("you will be logged out").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: /^End session/ }).click();
    await page.getByText("you will be logged out").waitFor();
    await page.getByRole("button", { name: "End it" }).last().click();
    await page.getByRole("alert").getByText("Your session has ended.").waitFor();
    await page.getByRole("link", { name: "Log in again" }).click();
    expect(new URL(page.url()).pathname).toBe("/login");
  });
});

describe("the console's bridges", () => {
  test("shows each bridge that holds a lease, and is asked only while somebody sees it", async () => {
    const { page } = await openConsole(["console"]);
    let asked = 0;
    page.on("request", (request) => {
      if (request.url().endsWith("/console/bridges")) asked += 1;
    });
    await part(page, "Bridges");
    const table = page.getByRole("region", { name: "Bridges, a table" });
    await until(async () => (await table.getByRole("row").count()) === 3);
    await page.getByText("2 bridges, 2 with a lease.").waitFor();
    expect(await table.textContent()).toMatch(/127\.0\.0\.1\d+\.\d+\.\d+.*\d+ ms/);
    await page.getByText("No receiver is configured").waitFor();
    await until(() => asked >= 2);
    await part(page, "Rooms");
    const before = asked;
    // Longer than the page waits between two questions.
    await pause(4_500);
    expect(asked - before).toBeLessThanOrEqual(1);
  });
});

describe("the console's bridges that do not fit", () => {
  const nothing = { kept: null, answered: null, fromMemory: null, leaseAgeMs: null, connectedMs: null };
  const webhook = { state: "off", held: 0, behind: false, oldestAt: null, lastError: null };

  test("are named, with the part to upgrade, and are no rows of the table", async () => {
    const { page } = await openConsole(["console"]);
    const refused = [
      { version: "3.0.0", address: "192.0.2.7", refusedProtocol: "2.0.0", ...nothing },
      { version: null, address: null, refusedProtocol: "0.9.0", ...nothing },
    ];
    const json = { edge: { version: "0.2.0", protocol: "1.1.0" }, bridges: refused, webhook };
    await page.route("**/console/bridges", (route) => route.fulfill({ json }));
    await part(page, "Bridges");
    const said = (who: string, protocol: string) =>
      `The bridge at ${who} was refused: it speaks wire protocol ${protocol}.`;
    await page.getByText(`${said("192.0.2.7 (3.0.0)", "2.0.0")} Upgrade the edge.`, { exact: true }).waitFor();
    const unknown = "an unknown address (it does not say its version)";
    await page.getByText(`${said(unknown, "0.9.0")} Upgrade the bridge.`, { exact: true }).waitFor();
    await page.getByText("This edge: 0.2.0, wire protocol 1.1.0. No bridge is connected.").waitFor();
    expect(await page.getByRole("region", { name: "Bridges, a table" }).isVisible()).toBe(false);
  });
});

describe("the console's webhook", () => {
  test.each([
    ["on, everything is sent", { held: 0, behind: false }],
    ["on, and has more to send", { held: 0, behind: true }],
    ["on, but messages fail", { held: 100, behind: true }],
  ])("is %s", async (text, status) => {
    const { page } = await openConsole(["console"]);
    const webhook = { state: "on", oldestAt: null, lastError: null, ...status };
    await page.route("**/console/bridges", (route) => route.fulfill({ json: { bridges: [], webhook } }));
    await part(page, "Bridges");
    await page.getByText(text, { exact: true }).waitFor();
  });
});

describe("the console's rooms", () => {
  test("shows who is in a room, speaks in it as the server, and removes a member", async () => {
    const { page, complaints } = await openConsole(["console:write"]);
    const room = newName("lobby");
    const [kim, lee] = [await enter(room, "kim"), await enter(room, "lee <b>")];
    const heard: string[] = [];
    kim.on("message", ({ from, body }) => heard.push(`${from} ${new TextDecoder().decode(body)}`));
    await part(page, "Rooms");
    await page.getByLabel("Room", { exact: true }).fill(room);
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByRole("heading", { name: `Room ${room}` }).waitFor();
    await until(async () => (await members(page)).join() === "kim connected,lee <b> connected");
    await page.getByLabel("Say to everybody").fill("the server restarts in a minute");
    await page.getByRole("button", { name: "Say" }).click();
    await page.getByText(/^Said: offset \d+/).waitFor();
    await until(() => heard.includes("0 the server restarts in a minute"));
    const closed = Promise.withResolvers<void>();
    lee.on("closed", () => closed.resolve());
    await page.getByRole("button", { name: "Remove lee <b>" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await closed.promise;
    await until(async () => (await members(page)).join() === "kim connected");
    expect(complaints).toEqual([]);
  });

  test("says why a room is not read, for as long as it is not", async () => {
    const { page } = await openConsole(["console"]);
    const room = newName("lobby");
    await page.route("**/console/rooms/*", (route) => route.abort());
    await page.goto(`${stack.edgeUrl}/console#rooms?room=${room}`);
    const fault = page.getByText("The edge did not answer.");
    await fault.waitFor();
    await page.unroute("**/console/rooms/*");
    await page.getByText("Nobody is here.").waitFor();
    expect(await fault.isVisible()).toBe(false);
    expect(await page.getByRole("region", { name: "Members" }).isVisible()).toBe(false);
  });

  test("shows 100 of more members, and finds the others", async () => {
    const { page } = await openConsole(["console"]);
    const room = newName("crowd");
    await Promise.all(Array.from({ length: 120 }, (_, index) => enter(room, `player-${index}`)));
    await page.goto(`${stack.edgeUrl}/console#rooms?room=${room}`);
    await page.getByText("The first 100 of 120 members.").waitFor();
    await page.getByLabel("Members whose user has").fill("player-119");
    await until(async () => (await members(page)).join() === "player-119 connected");
    await page.getByLabel("Members whose user has").fill("player-120");
    await page.getByText("No member matches.").waitFor();
  });
});

describe("an operator who may only read", () => {
  test("sees no button that changes something", async () => {
    const { page } = await openConsole(["console"]);
    const user = newName("kim");
    const sessid = await createSession(user);
    await find(page, user);
    await page.getByRole("heading", { name: `1 session of ${user}` }).waitFor();
    expect(await buttons(page)).toEqual(["Find"]);
    await find(page, String(sessid));
    await page.getByRole("heading", { name: `Session of ${user}` }).waitFor();
    expect(await buttons(page)).toEqual(["Find"]);
    const room = newName("lobby");
    await enter(room, "kim");
    await page.goto(`${stack.edgeUrl}/console#rooms?room=${room}`);
    await until(async () => (await members(page)).join() === "kim connected");
    expect(await buttons(page)).toEqual(["Open"]);
    expect(await page.getByLabel("Say to everybody").count()).toBe(0);
  });

  test("is let go with the grant: the stream ends, and the page says why", async () => {
    const { page, name } = await openConsole(["console"]);
    await until(async () => /^\d/.test((await tile(page, "Begins a second")) ?? ""));
    await askAsService(stack, "PATCH", `/v1/accounts/${name}`, { grants: ["room:*"] });
    await page.getByRole("alert").getByText("Your session has ended.").waitFor();
    await until(async () => (await page.locator("#state").textContent()) === "Closed");
    expect(await tile(page, "Begins a second")).toBe("–");
    await page.getByRole("link", { name: "Log in again" }).click();
    await logIn(page, name);
    await page.getByRole("heading", { name: "Not an operator" }).waitFor();
  });
});

describe("a stream of the console", () => {
  test.each([
    ["deleted", async (session: Created) => void (await endSession(session.sessid))],
    [
      "refreshed with other grants",
      async ({ sessid, user }: Created) =>
        void (await askAsService(stack, "POST", "/v1/sessions", { sessid, user, grants: ["room:*"] })),
    ],
  ])("ends when its session is %s", async (_, change) => {
    const session = await create(newName("ops"), ["console"]);
    const stream = await openStream(session.token);
    const ended = readToEnd(stream);
    await change(session);
    await ended;
    expect([401, 403]).toContain((await openStream(session.token)).status);
  });

  test.each([
    ["nobody", {}],
    ["an API key", { Authorization: "Bearer dev-key" }],
  ])("is not for %s", async (_, headers) => {
    const response = await fetch(`${stack.edgeUrl}/console/events`, { headers: { ...headers } });
    expect(response.status).toBe(401);
  });

  test("serves 50 consoles at once, beside one that reads nothing", async () => {
    const { token } = await create(newName("ops"), ["console"]);
    const deaf = await openStream(token);
    const streams = await Promise.all(Array.from({ length: 50 }, () => openStream(token)));
    const user = newName("kim");
    const sessid = await createSession(user);
    const heard = streams.map(async (stream) => {
      let text = "";
      const decoder = new TextDecoder();
      for await (const chunk of stream.body ?? []) {
        text += decoder.decode(chunk, { stream: true });
        if (text.includes(`"sessid":${sessid},"user":"${user}"`)) return true;
      }
      return false;
    });
    expect(await Promise.all(heard)).toEqual(streams.map(() => true));
    await deaf.body?.cancel();
  });
});

describe("a console that nobody sees", () => {
  test("costs no command of the store: neither in a tab that was hidden for long, nor closed", async () => {
    // Without bridges, whose leases are renewed by reads of the log.
    const quietRedis = await startRedisServer();
    const rest = await startTestRedisRest({ REDIS_URL: quietRedis.url });
    const edge = await startEdge({
      host: "127.0.0.1",
      port: 0,
      variables: {
        API_KEYS: "test-key",
        SESSION_STORE: "redis",
        UPSTASH_REDIS_REST_URL: rest.url,
        UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN,
      },
    });
    const client = new Redis(quietRedis.url);
    try {
      const there = { edgeUrl: edge.url, apiKey: "test-key", clock: true };
      const [hidden, closed] = [await openConsole(["console"], there), await openConsole(["console"], there)];
      await until(async () => (await tile(hidden.page, "Sessions")) !== "–");
      expect(await scriptsDuring(client, 3_000)).toBeGreaterThan(3);

      await closed.context.close();
      await setHidden(hidden.page, true);
      await hidden.page.clock.fastForward(31_000);
      await hidden.page.getByText("Paused while hidden").waitFor();
      // The edge finds out at its next writes to the streams, which are 15 s apart.
      await until(async () => (await scriptsDuring(client, 1_000)) === 0, 60_000);
      expect(await scriptsDuring(client, 3_000)).toBe(0);

      await setHidden(hidden.page, false);
      await hidden.page.getByText("Listening again.").waitFor();
      expect(await scriptsDuring(client, 3_000)).toBeGreaterThan(3);
    } finally {
      client.disconnect();
      await edge.close();
      await rest.close();
      await quietRedis.stop();
    }
  });
});

describe("the console in Chromium", () => {
  test.each([
    ["phone", "light", PHONE],
    ["phone", "dark", PHONE],
    ["desktop", "light", DESKTOP],
    ["desktop", "dark", DESKTOP],
  ] as const)("fits a %s, %s, without sideways scrolling", async (device, colorScheme, viewport) => {
    const { page, complaints } = await openConsole(["console:write"], { viewport, colorScheme });
    const user = newName("w".repeat(100));
    await createSessions(user, 2);
    const room = newName("lobby");
    await enter(room, user);
    for (const [name, address] of [
      ["live", "#live"],
      ["sessions", `#sessions?user=${user}`],
      ["bridges", "#bridges"],
      ["rooms", `#rooms?room=${room}`],
    ] as const) {
      await page.goto(`${stack.edgeUrl}/console${address}`);
      if (name === "live") await until(async () => (await rows(page)).length >= 2);
      if (name === "sessions") await page.getByRole("heading", { name: "3 sessions" }).waitFor();
      if (name === "bridges") await page.getByText("2 bridges,").waitFor();
      if (name === "rooms") await until(async () => (await members(page)).length === 1);
      expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth"), name).toBeLessThanOrEqual(0);
      expect(await page.evaluate(CUT_TABS), name).toEqual([]);
      await keepScreenshot(page, `console-${name}-${device}-${colorScheme}`);
    }
    expect(complaints).toEqual([]);
  });

  test("is used by keyboard alone", async () => {
    const { page } = await openConsole(["console:write"]);
    const user = newName("kim");
    await createSessions(user, 2);
    await tabTo(page, "Sessions");
    await page.keyboard.press("Enter");
    // The heading of the part has the focus, so that the next Tab is in it.
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Sessions");
    await page.keyboard.press("Tab");
    await page.keyboard.type(user);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "End all 2" }).waitFor();
    await tabTo(page, "End all 2");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Cancel");
    await page.keyboard.press("Escape");
    expect(await sessionsOf(user)).toBe(2);
    expect(await page.evaluate("document.activeElement.textContent")).toBe("End all 2");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText(/^Ended 2 sessions/).waitFor();
    expect(await page.evaluate("document.activeElement !== document.body")).toBe(true);
  });

  test("names every control, and says aloud only what the operator did and whether it listens", async () => {
    const { page } = await openConsole(["console:write"]);
    const room = newName("lobby");
    await enter(room, "kim");
    const user = newName("kim");
    await createSessions(user, 2);
    for (const [address, loaded] of [
      ["#live", page.getByRole("region", { name: "Log of sessions" })],
      [`#sessions?user=${user}`, page.getByRole("button", { name: "End all 2" })],
      ["#bridges", page.getByRole("region", { name: "Bridges, a table" })],
      [`#rooms?room=${room}`, page.getByRole("button", { name: "Remove kim" })],
    ] as const) {
      await page.goto(`${stack.edgeUrl}/console${address}`);
      await loaded.waitFor();
      expect(await page.evaluate(UNNAMED), address).toEqual([]);
      expect(await page.evaluate(SPOKEN), address).toEqual(["Live"]);
      expect(await page.getByRole("heading", { level: 1 }).count(), address).toBe(1);
      expect(await page.getByRole("link", { name: "Console", exact: true, includeHidden: false }).count()).toBe(0);
      expect(await page.locator("[aria-current=page]").count(), address).toBe(1);
    }
  });
});

/** The visible controls that a screen reader has no name for, and ids that are there twice. */
const UNNAMED = `(() => {
  const visible = [...document.querySelectorAll("input, select, button, a, [role=region], [role=img], dialog, section")]
    .filter((control) => control.checkVisibility());
  const nameOf = (control) =>
    control.getAttribute("aria-label") ??
    (control.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("") +
      [...(control.labels ?? [])].map((label) => label.textContent).join("") +
      (["A", "BUTTON"].includes(control.tagName) ? control.textContent : "");
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  return [
    ...visible.filter((control) => nameOf(control).trim() === "").map(({ outerHTML }) => outerHTML),
    ...ids.filter((id, index) => ids.indexOf(id) !== index),
  ];
})()`;

/** What is in the visible live regions. */
const SPOKEN = `[...document.querySelectorAll("[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log]")]
  .filter((region) => region.checkVisibility()).map((region) => region.textContent).filter((text) => text !== "")`;

interface Created {
  readonly sessid: number;
  readonly token: string;
  readonly user: string;
}

interface ConsoleOptions extends BrowserContextOptions {
  /** The stack's, unless it says otherwise. */
  readonly edgeUrl?: string;
  readonly apiKey?: string;
  /** With a clock that the test moves. */
  readonly clock?: boolean;
}

interface OpenConsole {
  readonly page: Page;
  readonly context: BrowserContext;
  /** The operator's account. */
  readonly name: string;
  /** What Chromium says about the page: broken scripts, and what the content security policy refused. */
  readonly complaints: readonly string[];
}

/** The console of a new operator with these grants, in a browser of its own. It listens. */
async function openConsole(grants: readonly string[], options: ConsoleOptions = {}): Promise<OpenConsole> {
  const { edgeUrl = stack.edgeUrl, apiKey = stack.apiKey, clock = false, ...contextOptions } = options;
  const name = newName("ops");
  const created = await askAsService({ edgeUrl, apiKey }, "POST", "/v1/accounts", { name, password: PASSWORD, grants });
  expect(created.status).toBe(201);
  const context = await chromium.newContext({ viewport: DESKTOP, ...contextOptions });
  contexts.push(context);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  if (clock) await page.clock.install();
  await page.goto(`${edgeUrl}/console`);
  await logIn(page, name);
  await until(async () => (await page.locator("#state").textContent()) === "Live");
  return { page, context, name, complaints };
}

async function logIn(page: Page, name: string): Promise<void> {
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL("**/console");
}

function newName(prefix: string): string {
  nextName += 1;
  return `${prefix}-${nextName}`;
}

async function create(user: string, grants: readonly string[]): Promise<Created> {
  const created = await until(async () => {
    const response = await askAsService(stack, "POST", "/v1/sessions", { user, grants, ip: "10.0.0.7" });
    // A busy machine's store may not respond in time.
    return response.status !== 503 && response;
  });
  expect(created.status).toBe(201);
  return (await created.json()) as Created;
}

async function createSession(user: string, grants: readonly string[] = ["room:*"]): Promise<number> {
  return (await create(user, grants)).sessid;
}

async function createSessions(user: string, total: number): Promise<void> {
  const AT_ONCE = 100;
  for (let left = total; left > 0; left -= AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(left, AT_ONCE) }, () => createSession(user)));
  }
}

/** By packets, because one request carries a thousand. */
async function registerSessions(user: string, total: number): Promise<void> {
  for (let first = 1; first <= total; first += MAX_BATCH_REQUESTS) {
    const sessids = Array.from({ length: MAX_BATCH_REQUESTS }, (_, index) => first + index);
    const body = requestBytes(...sessids.map((sessid) => ({ kind: "register", sessid, user, ip: null }) as const));
    const registered = await fetch(`${stack.edgeUrl}/v1/packets`, {
      method: "POST",
      headers: { Authorization: `Bearer ${stack.apiKey}`, "Content-Type": "application/octet-stream" },
      body: Uint8Array.from(body),
    });
    expect(registered.status).toBe(200);
  }
}

async function endSession(sessid: number): Promise<void> {
  expect((await askAsService(stack, "DELETE", `/v1/sessions/${sessid}`)).status).toBe(204);
}

async function sessionsOf(user: string): Promise<number> {
  const listed = await askAsService(stack, "GET", `/v1/users/${user}/sessions`);
  return ((await listed.json()) as { sessions: unknown[] }).sessions.length;
}

async function count(): Promise<{ sessions: number }> {
  return (await (await askAsService(stack, "GET", "/v1/count")).json()) as { sessions: number };
}

/** A player in a room, who has joined. */
async function enter(room: string, user: string): Promise<ReliableConnection> {
  const token = parseToken((await create(user, ["room:*"])).token);
  if (token === undefined) throw new Error("no token");
  const connection = new ReliableConnection({ transport: webSocketTransport({ edgeUrl: stack.edgeUrl, token }), room });
  players.push(connection);
  const joined = new Promise<void>((resolve) => connection.on("joined", () => resolve()));
  connection.connect();
  await joined;
  return connection;
}

async function holdsLease(metricsUrl: string): Promise<void> {
  await until(async () => /^artoria_bridge_lease_held 1$/m.test(await (await fetch(`${metricsUrl}/metrics`)).text()));
}

function openStream(token: string): Promise<Response> {
  const headers = { Cookie: `__Host-sid=${token}`, Accept: "text/event-stream" };
  return fetch(`${stack.edgeUrl}/console/events`, { headers });
}

async function readToEnd({ status, body }: Response): Promise<void> {
  expect(status).toBe(200);
  try {
    for await (const _ of body ?? []);
  } catch {
    // The connection was ended within the body.
  }
}

/** The scripts that a Redis runs in this time. */
async function scriptsDuring(client: Redis, ms: number): Promise<number> {
  const total = async () =>
    [...(await client.info("commandstats")).matchAll(/cmdstat_(?:evalsha|eval|evalsha_ro|eval_ro|fcall):calls=(\d+)/g)]
      .map(([, calls]) => Number(calls))
      .reduce((sum, calls) => sum + calls, 0);
  const before = await total();
  await pause(ms);
  return (await total()) - before;
}

/** Headless Chromium hides no tab, so the page is told. */
async function setHidden(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate(`Object.defineProperty(document, "hidden", { configurable: true, get: () => ${hidden} });
    document.dispatchEvent(new Event("visibilitychange"))`);
}

function part(page: Page, name: string): Promise<void> {
  return page.getByRole("navigation", { name: "Console" }).getByRole("link", { name }).click();
}

async function find(page: Page, text: string): Promise<void> {
  await part(page, "Sessions");
  await page.getByLabel("User or session").fill(text);
  await page.getByRole("button", { name: "Find" }).click();
}

function tile(page: Page, name: string): Promise<string | null> {
  return page.locator(".tiles div").filter({ hasText: name }).locator("dd").first().textContent();
}

/** The rows of the log, without their times. */
async function rows(page: Page): Promise<string[]> {
  const texts = await page.locator(".log tbody tr").allInnerTexts();
  return texts.map((text) => text.trim().split(/\s+/).slice(1).join(" "));
}

/** The log of what tests have done, without operators' own sessions. */
async function rowsAre(page: Page, wanted: readonly string[]): Promise<void> {
  await until(
    async () => (await rows(page)).filter((row) => !/ (web:|anonymous)/.test(row)).join("\n") === wanted.join("\n"),
  );
}

/** The members of the room that is shown, with their state. */
async function members(page: Page): Promise<string[]> {
  const found = page.getByRole("region", { name: "Members" }).locator("tbody tr");
  return (await found.all()).length === 0
    ? []
    : found.evaluateAll((rows) => rows.map((row) => `${row.children[1]?.textContent} ${row.children[2]?.textContent}`));
}

/** The buttons of the console that can be seen. */
function buttons(page: Page): Promise<string[]> {
  return page.locator("#console button:visible").allInnerTexts();
}

/** Presses Tab until the element with this text has the focus. */
async function tabTo(page: Page, text: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    if ((await page.evaluate("document.activeElement.textContent")) === text) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab does not reach "${text}"`);
}

/** Into the folder that SCREENSHOT_DIR names, if it does: docs/screenshots/ are from there. */
async function keepScreenshot(page: Page, name: string): Promise<void> {
  const folder = process.env["SCREENSHOT_DIR"];
  if (folder !== undefined) await page.screenshot({ path: `${folder}/${name}.png` });
}
