import { beforeAll, describe, expect, it, vi } from "vitest";
import { EventListeners } from "../../../worker/events/event-listeners.ts";
import { API_KEY, askAsService, createSession, newUser, problemOf } from "../routes/edge-client.ts";
import { Browser, migrateAccounts, newName, PASSWORD, sessionOf } from "./browser.ts";

beforeAll(migrateAccounts);

/** What a browser sends with what its page's script asks for. */
const FROM_PAGE = { "Sec-Fetch-Site": "same-origin", Accept: "application/json" };
const CHANGE = { ...FROM_PAGE, Origin: "https://edge.test" };

/** The browser of an account with these grants. */
async function accountWith(grants: readonly string[]): Promise<Browser & { name: string }> {
  const name = newName();
  const created = await askAsService("POST", "/v1/accounts", { name, password: PASSWORD, grants });
  expect(created.status).toBe(201);
  const browser = Object.assign(new Browser(), { name });
  expect((await browser.logIn(name)).status).toBe(303);
  return browser;
}

/** A browser with the token of a session that a service has created. */
async function serviceSession(grants?: readonly string[]): Promise<Browser> {
  const browser = new Browser();
  browser.cookie = (await createSession(grants && { grants })).token;
  return browser;
}

function read(browser: Browser, path: string, headers: Record<string, string> = {}): Promise<Response> {
  return browser.open(`/console${path}`, { headers: { ...FROM_PAGE, ...headers } });
}

function change(
  browser: Browser,
  method: string,
  path: string,
  headers: Record<string, string> = CHANGE,
  body?: unknown,
): Promise<Response> {
  return browser.open(`/console${path}`, {
    method,
    headers: { ...headers, ...(body !== undefined && { "Content-Type": "application/json" }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

describe("the console's page", () => {
  it("sends a visitor to the login, and an operator back from it", async () => {
    const browser = new Browser();
    const response = await browser.open("/console", { headers: { Accept: "text/html" } });
    expect([response.status, response.headers.get("Location")]).toEqual([303, "/login?return=%2Fconsole"]);
    const { name } = await accountWith(["console"]);
    const loggedIn = await browser.submit("/login", { user: name, password: PASSWORD, return: "/console" });
    expect(loggedIn.headers.get("Location")).toBe("/console");
    expect((await browser.open("/console")).status).toBe(200);
  });

  it("is a page whose script and style come from files, under a policy that allows nothing else", async () => {
    const response = await (await accountWith(["console"])).open("/console");
    const page = await response.text();
    expect(page).toContain('<script type="module" src="/artoria/console-page.js">');
    expect(page).not.toMatch(/<script(?![^>]*src=)|<style|style=|onclick=/);
    const policy = response.headers.get("Content-Security-Policy");
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect(response.headers.get("Cache-Control")).toBe("no-store");
  });

  it("tells its script what the operator may do", async () => {
    const right = async (grants: readonly string[]) =>
      /data-right="(\w+)"/.exec(await (await (await accountWith(grants)).open("/console")).text())?.[1];
    expect(await right(["console", "room:*"])).toBe("read");
    expect(await right(["console:write"])).toBe("write");
    expect(await right(["console", "console:write"])).toBe("write");
  });

  it("is linked from the main page for operators alone", async () => {
    const home = async (grants: readonly string[]) => (await (await accountWith(grants)).open("/")).text();
    expect(await home(["console"])).toContain('href="/console"');
    expect(await home(["*"])).not.toContain('href="/console"');
  });
});

describe("the console", () => {
  it.each([
    ["an account without the grant", () => accountWith(["room:*"])],
    ["an account that may enter everything", () => accountWith(["*"])],
    ["a prefix that the grant begins with", () => accountWith(["console*", "console:*"])],
    ["a player's session, which a service created without grants", () => serviceSession()],
  ])("refuses %s", async (_, open) => {
    const browser = await open();
    const page = await browser.open("/console", { headers: { Accept: "text/html" } });
    expect(page.status).toBe(403);
    expect(await page.text()).toContain("needs the grant console");
    for (const path of ["/count", "/user?user=kim", "/session?sessid=7", "/rooms/lobby"]) {
      expect(await problemOf(await read(browser, path)), path).toMatchObject({ status: 403, code: "denied" });
    }
    expect((await change(browser, "DELETE", "/user?user=kim")).status).toBe(403);
  });

  it("refuses those who are not logged in, and an API key instead of a cookie", async () => {
    const browser = new Browser();
    for (const headers of [{}, { Authorization: `Bearer ${API_KEY}` }]) {
      expect((await read(browser, "/count", headers)).status).toBe(401);
      expect((await change(browser, "DELETE", "/user?user=kim", { ...CHANGE, ...headers })).status).toBe(401);
    }
    const { cookie } = await serviceSession(["console:write"]);
    expect((await read(browser, "/count", { Authorization: `Bearer ${cookie}` })).status).toBe(401);
  });

  it("admits a session of a site's own login that a service gave the grant by name", async () => {
    expect((await read(await serviceSession(["console"]), "/count")).status).toBe(200);
  });

  it("counts sessions and users, with the time", async () => {
    const browser = await serviceSession(["console"]);
    const before = Date.now();
    const count = await (await read(browser, "/count")).json<{ at: number; sessions: number; users: number }>();
    expect(count.at).toBeGreaterThanOrEqual(before);
    expect(count).toMatchObject({ sessions: expect.any(Number), users: expect.any(Number) });
    expect(count.sessions).toBeGreaterThanOrEqual(1);
  });

  it("shows all that is known of a user's sessions, the newest first, and no token", async () => {
    const browser = await serviceSession(["console"]);
    // Texts that another route would take for path segments.
    for (const user of [newUser(), "..", "a/b?c=d&user=e", "名前 <b>"]) {
      const created = [await createSession({ user, grants: ["room:a"] }), await createSession({ user })];
      const text = await (await read(browser, `/user?user=${encodeURIComponent(user)}`)).text();
      const { total, sessions } = JSON.parse(text);
      expect(total).toBe(2);
      expect(sessions.map(({ sessid }: { sessid: number }) => sessid).toSorted()).toEqual(
        created.map(({ sessid }) => sessid).toSorted(),
      );
      expect(sessions[0].createdAt).toBeGreaterThanOrEqual(sessions[1].createdAt);
      for (const { token } of created) expect(text).not.toContain(token);
    }
  });

  it("finds a session by its number, and says that there is none", async () => {
    const browser = await serviceSession(["console"]);
    const { sessid, user } = await createSession();
    expect(await (await read(browser, `/session?sessid=${sessid}`)).json()).toMatchObject({ sessid, user });
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    expect((await read(browser, `/session?sessid=${sessid}`)).status).toBe(404);
    expect((await read(browser, "/session?sessid=abc")).status).toBe(400);
    expect((await read(browser, "/user")).status).toBe(400);
  });

  it("ends one session, and all of a user", async () => {
    const browser = await serviceSession(["console:write"]);
    const user = newUser();
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => createSession({ user })));
    const end = await change(browser, "DELETE", `/session?sessid=${one?.sessid}&user=${user}`);
    expect(await end.json()).toMatchObject({ ended: 1 });
    expect(await sessionOf(one?.sessid ?? 0)).toBeUndefined();
    expect(await (await change(browser, "DELETE", `/user?user=${user}`)).json()).toMatchObject({ ended: 2 });
    expect(await sessionOf(two?.sessid ?? 0)).toBeUndefined();
    expect(await sessionOf(three?.sessid ?? 0)).toBeUndefined();
    expect((await change(browser, "DELETE", `/session?sessid=${one?.sessid}`)).status).toBe(404);
  });

  it("does not end the session of another user who has the number by now", async () => {
    const browser = await serviceSession(["console:write"]);
    const { sessid } = await createSession();
    expect((await change(browser, "DELETE", `/session?sessid=${sessid}&user=somebody-else`)).status).toBe(404);
    expect(await sessionOf(sessid)).toBeDefined();
  });

  it("lets only console:write change something", async () => {
    const browser = await serviceSession(["console"]);
    const { sessid, user } = await createSession();
    const changes: readonly (readonly [string, string, unknown?])[] = [
      ["DELETE", `/session?sessid=${sessid}`],
      ["DELETE", `/user?user=${user}`],
      ["POST", "/rooms/lobby/messages", { text: "hello" }],
      ["DELETE", "/rooms/lobby/members/1"],
    ];
    for (const [method, path, body] of changes) {
      const refused = await problemOf(await change(browser, method, path, CHANGE, body));
      expect(refused, path).toMatchObject({ status: 403, detail: expect.stringContaining("console:write") });
    }
    expect(await sessionOf(sessid)).toBeDefined();
  });

  it.each([
    ["another site's Origin", { Origin: "https://evil.test" }],
    ["another port's Origin", { Origin: "https://edge.test:8443" }],
    ["a hidden Origin", { Origin: "null" }],
    ["no Origin", {}],
    [
      "an Origin that is right, but a browser that says it was another site",
      { Origin: "https://edge.test", "Sec-Fetch-Site": "cross-site" },
    ],
    ["a page of the same site on another host", { Origin: "https://edge.test", "Sec-Fetch-Site": "same-site" }],
  ])("refuses a change from %s", async (_, headers) => {
    const browser = await serviceSession(["console:write"]);
    const { sessid, user } = await createSession();
    for (const path of [`/session?sessid=${sessid}`, `/user?user=${user}`]) {
      expect((await change(browser, "DELETE", path, { Accept: "application/json", ...headers })).status).toBe(403);
    }
    const posted = await change(browser, "POST", "/rooms/lobby/messages", headers, { text: "hello" });
    expect(posted.status).toBe(403);
    expect(await sessionOf(sessid)).toBeDefined();
  });

  it("gives another site's page nothing to read, but may be linked from there", async () => {
    const browser = await serviceSession(["console"]);
    expect((await read(browser, "/count", { "Sec-Fetch-Site": "cross-site" })).status).toBe(403);
    const followed = await browser.open("/console", {
      headers: { Accept: "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" },
    });
    expect(followed.status).toBe(200);
  });

  it("is closed with the operator's session, and when its grant is taken away", async () => {
    const browser = await accountWith(["console:write"]);
    expect((await read(browser, "/count")).status).toBe(200);
    await askAsService("PATCH", `/v1/accounts/${browser.name}`, { grants: ["room:*"] });
    expect((await read(browser, "/count")).status).toBe(401);
    await browser.logIn(browser.name);
    expect((await read(browser, "/count")).status).toBe(403);

    const other = await serviceSession(["console:write"]);
    const { user = "" } = (await sessionOf(other.sessid)) ?? {};
    await askAsService("POST", "/v1/sessions", { user, sessid: other.sessid, grants: ["console"] }).then(
      async (response) => {
        // A refresh by a service gives the session another token.
        other.cookie = (await response.json<{ token: string }>()).token;
      },
    );
    expect((await read(other, "/count")).status).toBe(200);
    expect((await change(other, "DELETE", "/user?user=kim")).status).toBe(403);
  });

  it("shows a room, and posts to it as the server", async () => {
    const browser = await serviceSession(["console:write"]);
    const room = `console-${crypto.randomUUID()}`;
    expect(await (await read(browser, `/rooms/${room}`)).json()).toEqual({ epoch: 0, offset: 0, members: [] });
    const posted = await change(browser, "POST", `/rooms/${room}/messages`, CHANGE, { text: "hello" });
    expect([posted.status, await posted.json()]).toEqual([201, { offset: 1 }]);
    expect((await change(browser, "DELETE", `/rooms/${room}/members/1`)).status).toBe(404);
    const long = await change(browser, "POST", `/rooms/${room}/messages`, CHANGE, { text: "x".repeat(70_000) });
    expect(long.status).toBe(413);
  });

  it("has no route that creates a session or ends all there are", async () => {
    const browser = await serviceSession(["console:write"]);
    for (const [method, path] of [
      ["POST", "/session"],
      ["POST", "/sessions"],
      ["DELETE", "/sessions?confirm=all"],
      ["DELETE", "/session"],
      ["DELETE", "/user"],
    ] as const) {
      expect([400, 404], path).toContain((await change(browser, method, path)).status);
    }
  });
});

describe("the console's stream of events", () => {
  it("is refused to a session that ends while the hub is asked for it", async () => {
    const browser = new Browser();
    const { token, sessid } = await createSession({ grants: ["console"] });
    browser.cookie = token;
    const { listen } = EventListeners.prototype;
    vi.spyOn(EventListeners.prototype, "listen").mockImplementationOnce(async function (
      this: EventListeners,
      listening,
    ) {
      await askAsService("DELETE", `/v1/sessions/${sessid}`);
      return listen.call(this, listening);
    });
    const response = await read(browser, "/events", { Accept: "text/event-stream" });
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthenticated" });
  });
});
