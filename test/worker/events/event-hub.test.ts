import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Bindings } from "../../../worker/app-env.ts";
import { EventHub } from "../../../worker/events/event-hub.ts";
import { encodeListening } from "../../../worker/events/event-stream.ts";
import { openIsolate } from "../../../worker/isolate.ts";
import { EmbeddedSessions } from "../../../worker/session-store/embedded/embedded-sessions.ts";
import { API_KEY, ask, askAsService, createSession, problemOf } from "../routes/edge-client.ts";
import { register } from "../session-store/conformance/session-requests.ts";
import { EventListener } from "./event-listener.ts";

const AS_SERVICE = { Authorization: `Bearer ${API_KEY}` };

const listeners: EventListener[] = [];

async function listen(query = "", headers: Readonly<Record<string, string>> = {}): Promise<EventListener> {
  const listener = await EventListener.open(query, headers);
  listeners.push(listener);
  return listener;
}

/** The response to a request for events, with what a caller may add or change. */
function askForEvents(query = "", headers: Readonly<Record<string, string>> = {}, method = "GET"): Promise<Response> {
  return ask(`/v1/events${query}`, { method, headers: { ...AS_SERVICE, ...headers } });
}

interface Page {
  readonly events: readonly { readonly position: string; readonly sessid: number; readonly kind: string }[];
  readonly next: string;
  readonly more: boolean;
}

async function page(query = ""): Promise<Page> {
  const response = await askForEvents(query, { Accept: "application/json" });
  expect(response.status).toBe(200);
  return response.json<Page>();
}

/** Creates a session and ends it. */
async function endedSession(): Promise<{ readonly sessid: number; readonly user: string }> {
  const session = await createSession();
  expect((await askAsService("DELETE", `/v1/sessions/${session.sessid}`)).status).toBe(204);
  return session;
}

function hub() {
  return (env as unknown as Bindings).EVENT_HUB.getByName("events");
}

/** Ends the hub, as a deployment does; the next request starts another. */
async function abortHub(): Promise<void> {
  await expect(runInDurableObject(hub(), (_, state) => state.abort("a new version"))).rejects.toThrow("a new version");
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const listener of listeners.splice(0)) await listener.close();
  await reset();
});

describe("GET /v1/events", () => {
  it("streams what becomes of a session, after a checkpoint", async () => {
    const listener = await listen();
    const { sessid, user } = await endedSession();
    const [began, ended] = await listener.events(2);
    expect(listener.blocks[0]).toEqual({ event: undefined, id: expect.any(String), data: undefined, isComment: true });
    const at = expect.any(Number);
    expect(began).toMatchObject({
      event: "began",
      data: { position: began?.id, at, kind: "began", reason: null, sessid, user },
    });
    expect(ended?.event).toBe("ended");
    expect(ended?.data).toEqual({ position: ended?.id, at, kind: "ended", reason: "deleted", sessid, user });
  });

  it("is a stream that no cache and no proxy keeps back, and tells when to connect again", async () => {
    const listener = await listen();
    await listener.until(({ length }) => length > 0);
    const { headers } = listener.response;
    expect(headers.get("Content-Type")).toBe("text/event-stream");
    expect(headers.get("Cache-Control")).toBe("no-store, no-transform");
    expect(headers.get("X-Accel-Buffering")).toBe("no");
    expect(listener.retryMs).toBeGreaterThanOrEqual(1000);
    expect(listener.retryMs).toBeLessThanOrEqual(2000);
  });

  it("streams only the kinds that are wanted", async () => {
    const listener = await listen("?kinds=ended,changed");
    const [first, second] = [await endedSession(), await endedSession()];
    const events = await listener.events(2);
    expect(events.map(({ data }) => data)).toMatchObject([
      { kind: "ended", sessid: first.sessid },
      { kind: "ended", sessid: second.sessid },
    ]);
  });

  it.each<readonly [string, (position: string) => readonly [string, Record<string, string>]]>([
    ["after", (position) => [`?kinds=ended&after=${position}`, {}]],
    ["Last-Event-ID", (position) => ["?kinds=ended", { "Last-Event-ID": position }]],
    ["both, of which Last-Event-ID counts", (position) => ["?kinds=ended&after=1_1_1", { "Last-Event-ID": position }]],
  ])("resumes from a position: %s", async (_, request) => {
    const listener = await listen();
    await endedSession();
    await listener.events(2);
    await listener.close();
    const missed = [await endedSession(), await endedSession()];
    const again = await listen(...request(listener.position));
    const events = await again.events(2);
    expect(events.map(({ data }) => data)).toMatchObject(missed.map(({ sessid }) => ({ sessid })));
  });

  it("loses nothing when the hub is restarted", async () => {
    const listener = await listen("?kinds=ended");
    const before = await endedSession();
    await listener.events(1);
    await abortHub();
    await listener.until(() => listener.hasEnded);
    const meanwhile = await endedSession();
    const again = await listen("?kinds=ended", { "Last-Event-ID": listener.position });
    const after = await endedSession();
    const told = [...(await listener.events(1)), ...(await again.events(2))];
    expect(told.map(({ data }) => data)).toMatchObject([before, meanwhile, after].map(({ sessid }) => ({ sessid })));
  });

  it("catches up over more than the pages of one read, in order, and goes on live", async () => {
    const { next } = await page();
    const registers = Array.from({ length: 700 }, (_, index) => register(index + 1, { user: `user-${index}` }));
    await openIsolate(env as unknown as Bindings).store.run(registers);
    const listener = await listen(`?after=${next}`);
    await listener.events(300);
    await createSession();
    const events = await listener.events(701);
    const all = await page(`?after=${next}&limit=1000`);
    expect(all.events).toHaveLength(701);
    expect(events.map(({ data }) => data)).toEqual(all.events);
  });

  it("tells of a reset if the position is not in the log, and goes on live", async () => {
    await createSession();
    const listener = await listen("?after=1_1_1");
    const [reset] = await listener.events(1);
    expect(reset).toMatchObject({ event: "reset", data: { position: reset?.id } });
    const { sessid } = await createSession();
    expect((await listener.events(2))[1]).toMatchObject({ event: "began", data: { sessid } });
  });

  it("keeps the stream while the log cannot be read, and tells afterwards what was missed", async () => {
    const listener = await listen();
    await listener.until(({ length }) => length > 0);
    const broken = vi.spyOn(EmbeddedSessions.prototype, "readLog").mockImplementation(() => {
      throw new Error("the store is down");
    });
    const { sessid } = await createSession();
    await vi.waitFor(() => expect(broken).toHaveBeenCalled(), { timeout: 10_000 });
    broken.mockRestore();
    expect((await listener.events(1))[0]).toMatchObject({ event: "began", data: { sessid } });
  });

  it("says that the log cannot be read to somebody who connects then", async () => {
    vi.spyOn(EmbeddedSessions.prototype, "readLog").mockImplementation(() => {
      throw new Error("the store is down");
    });
    expect(await problemOf(await askForEvents())).toMatchObject({ status: 503, code: "unavailable" });
  });

  it("says that the hub cannot be reached", async () => {
    vi.spyOn(EventHub.prototype, "fetch").mockImplementation(() => {
      throw new Error("overloaded");
    });
    expect(await problemOf(await askForEvents())).toMatchObject({ status: 503, code: "unavailable" });
  });

  it("reads and stores nothing when the last listener has left, whatever happens to sessions", async () => {
    const listener = await listen();
    await listener.until(({ length }) => length > 0);
    await listener.close();
    const polls = vi.spyOn(EmbeddedSessions.prototype, "readLog");
    await vi.waitFor(async () => {
      // What it writes to a client that has gone tells the hub.
      await endedSession();
      polls.mockClear();
      await hub().poke();
      expect(polls).not.toHaveBeenCalled();
    });
    await endedSession();
    await hub().poke();
    await runInDurableObject(hub(), async (_, { storage }) => {
      expect(await storage.getAlarm()).toBeNull();
      expect((await storage.list()).size).toBe(0);
    });
    expect(polls).not.toHaveBeenCalled();
  });
});

describe("a stream on behalf of a session", () => {
  async function listenFor(sessid: number): Promise<EventListener> {
    const listener = new EventListener(await hub().fetch(encodeListening({ after: null, kinds: null, sessid })));
    listeners.push(listener);
    return listener.until(({ length }) => length > 0);
  }

  it("is ended when the session ends, and not when another does", async () => {
    const { sessid } = await createSession();
    const listener = await listenFor(sessid);
    await endedSession();
    await listener.events(2);
    expect(listener.hasEnded).toBe(false);
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    await listener.until(() => false);
    expect(listener.hasEnded).toBe(true);
  });

  it("is ended when the session gets other grants", async () => {
    const { sessid, user } = await createSession({ grants: ["console"] });
    const listener = await listenFor(sessid);
    await askAsService("POST", "/v1/sessions", { sessid, user, grants: ["room:lobby"] });
    await listener.until(() => false);
    expect(listener.hasEnded).toBe(true);
  });
});

describe("GET /v1/events as JSON", () => {
  it("returns page after page, each event once", async () => {
    const { next } = await page();
    const sessids = [await createSession(), await createSession(), await createSession()].map(({ sessid }) => sessid);
    const first = await page(`?after=${next}&limit=2`);
    expect(first.more).toBe(true);
    const second = await page(`?after=${first.next}&limit=2`);
    expect(second.more).toBe(false);
    expect([...first.events, ...second.events].map(({ sessid }) => sessid)).toEqual(sessids);
    expect(second.next).toBe(second.events[0]?.position);
    expect(await page(`?after=${second.next}`)).toEqual({ events: [], next: second.next, more: false });
  });

  it("without a position returns the end of the log, and no events", async () => {
    const { sessid } = await createSession();
    const end = await page();
    expect(end).toEqual({ events: [], next: expect.any(String), more: false });
    const all = await page("?limit=1000");
    expect(all).toEqual(end);
    expect(sessid).not.toBe(0);
  });

  it("has only the kinds that are wanted", async () => {
    const { next } = await page();
    const { sessid } = await endedSession();
    expect((await page(`?after=${next}&kinds=ended`)).events).toMatchObject([{ kind: "ended", sessid }]);
    expect((await page(`?after=${next}&kinds=changed`)).events).toEqual([]);
  });

  it("says that the position is gone, and where the log ends", async () => {
    const response = await askForEvents("?after=1_1_1", { Accept: "application/json" });
    const { next } = await page();
    expect(await response.clone().json()).toMatchObject({ next });
    expect(await problemOf(response)).toMatchObject({ status: 410, code: "gone" });
  });

  it("asks no hub", async () => {
    const asked = vi.spyOn(EventHub.prototype, "fetch");
    await page();
    expect(asked).not.toHaveBeenCalled();
  });

  it.each([
    ["application/json", true],
    ["application/json, text/event-stream;q=0.5", true],
    ["text/event-stream", false],
    ["*/*", false],
    ["text/html, */*;q=0.1", false],
    ["application/json;q=0", false],
  ])("is chosen by Accept: %s: %s", async (Accept, isJson) => {
    const response = await askForEvents("", { Accept });
    expect(response.headers.get("Content-Type")?.startsWith("application/json")).toBe(isJson);
    await response.body?.cancel();
  });
});

describe("a request for events", () => {
  it.each([
    ["?after=", "after"],
    ["?after=now", "after"],
    ["?after=1_1_1&after=1_1_2", "after"],
    [`?after=${"1".repeat(65)}_1_1`, "after"],
    ["?kinds=", "kinds"],
    ["?kinds=ended,", "kinds"],
    ["?kinds=expired", "kinds"],
    ["?kinds=Ended", "kinds"],
    ["?kinds=ended&kinds=began", "kinds"],
    ["?limit=10", "limit"],
    ["?since=1_1_1", "since"],
    ["?sessid=1", "sessid"],
  ])("is refused with the field's name: %s", async (query, field) => {
    const { status, code, detail } = await problemOf(await askForEvents(query));
    expect({ status, code }).toEqual({ status: 400, code: "invalid" });
    expect(detail).toMatch(new RegExp(`^${field}\\b`));
  });

  it.each(["0", "1001", "1e2", "-1", " 1", ""])("as JSON is refused with a limit of %j", async (limit) => {
    const response = await askForEvents(`?limit=${encodeURIComponent(limit)}`, { Accept: "application/json" });
    const { status, detail } = await problemOf(response);
    expect(status).toBe(400);
    expect(detail).toMatch(/^limit\b/);
  });

  it.each([
    ["of 10 KB", "1".repeat(10_000)],
    ["that is no position", "null"],
    ["with what would end a line of the stream", "1_1_1\\n\\nevent: x"],
  ])("is refused with a Last-Event-ID %s", async (_, id) => {
    const { status, detail } = await problemOf(await askForEvents("", { "Last-Event-ID": id }));
    expect(status).toBe(400);
    expect(detail).toMatch(/^Last-Event-ID\b/);
    expect(detail.length).toBeLessThan(200);
  });

  it.each([
    ["no key", {}],
    ["a wrong key", { Authorization: `Bearer ${"x".repeat(32)}` }],
  ])("needs an API key: %s", async (_, headers) => {
    const asked = vi.spyOn(EventHub.prototype, "fetch");
    const { status, code } = await problemOf(await ask("/v1/events", { headers }));
    expect({ status, code }).toEqual({ status: 401, code: "unauthenticated" });
    expect(asked).not.toHaveBeenCalled();
  });

  it("of a client with a session token is refused", async () => {
    const { token } = await createSession();
    const { status } = await problemOf(await ask("/v1/events", { headers: { Authorization: `Bearer ${token}` } }));
    expect(status).toBe(401);
  });

  it("with HEAD gets the headers, and listens to nothing", async () => {
    const asked = vi.spyOn(EventHub.prototype, "fetch");
    const response = await askForEvents("", {}, "HEAD");
    expect(response.status).toBe(200);
    expect(response.headers.get("Content-Type")).toBe("text/event-stream");
    expect(await response.text()).toBe("");
    expect(asked).not.toHaveBeenCalled();
  });

  it.each(["POST", "DELETE", "OPTIONS"])("with %s is no route", async (method) => {
    expect(await problemOf(await askForEvents("", {}, method))).toMatchObject({ status: 404, code: "not_found" });
  });

  it("says nothing to the hub but what the route has parsed", async () => {
    const asked = vi.spyOn(EventHub.prototype, "fetch");
    await listen("?kinds=ended", { "X-Session": "1", Cookie: "__Host-sid=x", "Sec-Fetch-Site": "same-origin" });
    const [request] = asked.mock.calls[0] ?? [];
    expect(request?.method).toBe("GET");
    expect([...(request?.headers.keys() ?? [])]).toEqual([]);
    expect(decodeURIComponent(request?.url ?? "")).toBe('https://hub.invalid/?[null,["ended"],null]');
  });
});
