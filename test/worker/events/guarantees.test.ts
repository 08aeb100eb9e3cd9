import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SessionRequest } from "../../../protocol/session-request.ts";
import { DEFAULT_FEED_LIMITS, EventFeed } from "../../../worker/events/event-feed.ts";
import { EventHub } from "../../../worker/events/event-hub.ts";
import { openEventHub, openIsolate } from "../../../worker/isolate.ts";
import { EmbeddedStore } from "../../../worker/session-store/embedded/embedded-store.ts";
import type { SessionEvent } from "../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../worker/session-store/session-store.ts";
import { seededRandom } from "../../support/random.ts";
import { bindings } from "../browser/browser.ts";
import { API_KEY, ask, askAsService, createSession, problemOf } from "../routes/edge-client.ts";
import { LogReader } from "../session-store/conformance/log-reader.ts";
import { register } from "../session-store/conformance/session-requests.ts";
import { embeddedObject } from "../session-store/embedded/embedded-harness.ts";
import { testPolicy } from "../session-store/store-harness.ts";
import { type Block, EventListener } from "./event-listener.ts";

let store: SessionStore;
const listeners: EventListener[] = [];

beforeEach(() => {
  store = openIsolate(bindings).store;
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const listener of listeners.splice(0)) await listener.close();
  await reset();
});

async function listen(query = "", lastEventId?: string): Promise<EventListener> {
  const headers = lastEventId === undefined ? {} : { "Last-Event-ID": lastEventId };
  const listener = await EventListener.open(query, headers);
  listeners.push(listener);
  // Its first checkpoint: from now on it has a position.
  return listener.until((blocks) => blocks.length > 0);
}

/** What a listener was told, as the log has it. */
async function received(listener: EventListener, count: number): Promise<unknown[]> {
  return (await listener.events(count)).map(({ data }) => data);
}

interface Page {
  readonly events: SessionEvent[];
  readonly next: string;
  readonly more: boolean;
}

function askPage(after: string, limit = 100): Promise<Response> {
  const query = `after=${encodeURIComponent(after)}&limit=${limit}`;
  return ask(`/v1/events?${query}`, { headers: { Authorization: `Bearer ${API_KEY}`, Accept: "application/json" } });
}

/** The events behind a position, read page by page. */
async function readPages(after: string, limit = 100): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  for (let next = after; ; ) {
    const page = await (await askPage(next, limit)).json<Page>();
    events.push(...page.events);
    if (!page.more) return events;
    next = page.next;
  }
}

/** Batches of registers, refreshes, deletes and ends of users' sessions, by callers that do not wait for each other. */
async function writeAtRandom(batches: number, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const request = (): SessionRequest => {
    const [sessid, user] = [random.integer(1, 20), `user-${random.integer(1, 4)}`];
    if (random.chance(0.3)) return { kind: "delete", sessid };
    if (random.chance(0.1)) return { kind: "deleteUser", user };
    return register(sessid, { user, ...(random.chance(0.5) && { grants: [`grant-${random.integer(1, 3)}`] }) });
  };
  const callers = Array.from({ length: 4 }, async () => {
    for (let batch = 0; batch < batches; batch++) {
      await store.run(Array.from({ length: random.integer(1, 8) }, request));
    }
  });
  await Promise.all(callers);
}

/** The entry of the log that an event is of: its position begins with it. */
const entryOf = ({ position }: Pick<SessionEvent, "position">) => position.split("_")[0];

describe("events are ordered:", () => {
  it("every listener is told what is in the log, in the log's order, while many write", async () => {
    const start = await LogReader.open(store);
    const [all, ended] = [await listen(), await listen("?kinds=ended")];
    await writeAtRandom(30, 1);
    const log = await start.read();
    expect(log.length).toBeGreaterThan(100);
    expect(await received(all, log.length)).toEqual(log);
    const ends = log.filter(({ kind }) => kind === "ended");
    expect(await received(ended, ends.length)).toEqual(ends);
  });

  it("each session begins, changes and ends in this order, and the next under its number begins after it", async () => {
    const listener = await listen();
    const start = await LogReader.open(store);
    await writeAtRandom(30, 2);
    const events = (await received(listener, (await start.read()).length)) as SessionEvent[];
    const live = new Set<number>();
    const wrong = events.filter(({ kind, sessid }) => {
      const wasLive = live.has(sessid);
      if (kind === "began") live.add(sessid);
      if (kind === "ended") live.delete(sessid);
      return wasLive !== (kind !== "began");
    });
    expect(wrong).toEqual([]);
  });
});

describe("events are unique:", () => {
  it("a reader that resumes at its position is told no event twice, however often it has connected, and none is left out", async () => {
    const start = await LogReader.open(store);
    const told: unknown[] = [];
    let { position } = start;
    for (let connection = 1; connection <= 10; connection++) {
      const writing = Promise.all([store.run([register(100 + connection)]), writeAtRandom(3, 3 + connection)]);
      const listener = await listen("", position);
      told.push(...(await received(listener, 1)));
      await listener.close();
      position = listener.position;
      await writing;
    }
    const log = await start.read();
    told.push(...(await received(await listen("", position), log.length - told.length)));
    expect(told).toEqual(log);
    expect(new Set(log.map((event) => event.position)).size).toBe(log.length);
  });
});

describe("reading is resumable:", () => {
  it.each(["from the hub's memory", "from the store"])(
    "at every position, between the sessions of one step too, %s",
    async (from) => {
      const start = await LogReader.open(store);
      const { position } = start;
      // While somebody listens, the hub has the events in memory.
      if (from === "from the hub's memory") await listen();
      await store.run([register(1), register(2), register(3)]);
      await store.run([{ kind: "delete", sessid: 2 }]);
      await store.run([{ kind: "deleteUser", user: "kim" }]);
      const log = await start.read();
      expect(log).toHaveLength(6);
      for (const [seen, after] of [position, ...log.map((event) => event.position)].entries()) {
        const rest = log.slice(seen);
        expect(await received(await listen(`?after=${after}`), rest.length)).toEqual(rest);
        expect(await readPages(after, 2)).toEqual(rest);
      }
    },
  );
});

describe("an entry is atomic:", () => {
  it("what one step did to many sessions is told together, with nothing else between", async () => {
    const start = await LogReader.open(store);
    const listener = await listen();
    const batch = (first: number) => Array.from({ length: 50 }, (_, index) => register(first + index, { user: "lee" }));
    await Promise.all([store.run(batch(100)), writeAtRandom(10, 4), store.run(batch(200))]);
    await Promise.all([store.run([{ kind: "deleteUser", user: "lee" }]), writeAtRandom(10, 5)]);
    const events = (await received(listener, (await start.read()).length)) as SessionEvent[];
    const entries = events.map(entryOf).filter((entry, index, all) => entry !== all[index - 1]);
    expect(new Set(entries).size).toBe(entries.length);
    const ends = events.filter(({ user, kind }) => user === "lee" && kind === "ended");
    expect(ends).toHaveLength(100);
    expect(new Set(ends.map(entryOf)).size).toBe(1);
  });

  it("once a write is answered, whoever reads then is told of it", async () => {
    const start = await LogReader.open(store);
    const { sessid } = await createSession();
    await askAsService("DELETE", `/v1/sessions/${sessid}`);
    expect((await readPages(start.position)).map(({ kind }) => kind)).toEqual(["began", "ended"]);
  });
});

describe("there is no silent gap:", () => {
  const isReset = ({ event }: Block) => event === "reset";

  /** Writes to the log until it holds none of the entries that it has now. */
  async function trimLog(): Promise<void> {
    const { EMBEDDED_SESSIONS: namespace } = bindings;
    const small = new EmbeddedStore({ namespace, policy: testPolicy(1_800_000), logEntries: 10 });
    for (let sessid = 1001; sessid <= 1030; sessid++) await small.run([register(sessid, { user: "lee" })]);
  }

  /** Entries of ten events each, several times what a listener is sent at once. */
  async function fillLog(): Promise<SessionEvent[]> {
    const start = await LogReader.open(store);
    for (let first = 1; first <= 4 * DEFAULT_FEED_LIMITS.maxBatch; first += 10) {
      await store.run(Array.from({ length: 10 }, (_, index) => register(first + index, { user: `user-${first}` })));
    }
    return start.read();
  }

  it("a listener whose log is trimmed while it catches up is told so, and goes on from the log's end", async () => {
    const { position } = await LogReader.open(store);
    const log = await fillLog();
    const listener = await listen(`?after=${position}`);
    await listener.events(1);
    await trimLog();
    await listener.until((blocks) => blocks.some(isReset));
    const events = listener.blocks.filter(({ event }) => event !== undefined);
    const before = events.slice(0, events.findIndex(isReset));
    expect(before.length).toBeLessThan(log.length);
    expect(before.map(({ data }) => data)).toEqual(log.slice(0, before.length));
    const end = (await LogReader.open(store)).position;
    expect(events[before.length]).toEqual({ event: "reset", id: end, data: { position: end }, isComment: false });
    await store.run([register(5000)]);
    expect((await listener.events(events.length + 1)).at(-1)?.data).toMatchObject({ kind: "began", sessid: 5000 });
  });

  it("a reader of pages whose log is trimmed between two of them is told so, and where to go on", async () => {
    const { position } = await LogReader.open(store);
    await fillLog();
    const { next } = await (await askPage(position)).json<Page>();
    await trimLog();
    const gone = await askPage(next);
    const end = (await LogReader.open(store)).position;
    expect(await gone.clone().json()).toMatchObject({ next: end });
    expect(await problemOf(gone)).toMatchObject({ status: 410, code: "gone" });
    expect(await readPages(end)).toEqual([]);
  });

  it.each([
    [
      "another history of this store",
      async () => {
        await store.run([register(1)]);
        const { position } = await LogReader.open(store);
        await reset();
        await store.run([register(1)]);
        return position;
      },
    ],
    ["another kind of store", async () => "1763700000000-0_1_1abcdef"],
  ])("a position of %s is refused", async (_, foreign) => {
    const after = await foreign();
    const { position } = await LogReader.open(store);
    const listener = await (await listen(`?after=${after}`)).until((blocks) => blocks.some(isReset));
    expect(listener.blocks.find(isReset)?.data).toEqual({ position });
    expect((await askPage(after)).status).toBe(410);
  });

  it.each([
    ["has lost", "DELETE FROM log WHERE number = (SELECT MAX(number) FROM log)"],
    ["has replaced by other events", "UPDATE log SET at = at + 1 WHERE number = (SELECT MAX(number) FROM log)"],
  ])("a listener that stands on what a failover %s is told so while it listens", async (_, failover) => {
    await store.run([register(1)]);
    const listener = await listen();
    await store.run([register(2)]);
    await listener.events(1);
    await runInDurableObject(embeddedObject(), (__, { storage }) => void storage.sql.exec(failover));
    await listener.until((blocks) => blocks.some(isReset));
    expect(listener.blocks.find(isReset)?.id).toBe((await LogReader.open(store)).position);
    await store.run([register(3)]);
    expect((await listener.events(3)).at(-1)?.data).toMatchObject({ kind: "began", sessid: 3 });
  });

  it("a poke that is lost costs time, and no event", async () => {
    await store.run([register(1)]);
    const listener = await listen();
    const poke = vi.spyOn(EventHub.prototype, "poke").mockRejectedValue(new Error("the hub was reset"));
    await store.run([{ kind: "delete", sessid: 1 }]);
    expect(await received(listener, 1)).toMatchObject([{ kind: "ended", sessid: 1 }]);
    expect(poke).toHaveBeenCalledTimes(1);
  });

  it("what the hub has read and not sent when it is restarted, a listener is told once, after it has resumed", async () => {
    await store.run([register(1), register(2)]);
    const listener = await listen();
    let hasRead = false;
    const readDone = EventFeed.prototype.readDone;
    vi.spyOn(EventFeed.prototype, "readDone").mockImplementation(function (this: EventFeed<unknown>, page, nowMs) {
      const isNews = page.kind === "events" && page.events.length > 0;
      if (isNews) hasRead = true;
      else readDone.call(this, page, nowMs);
    });
    await store.run([{ kind: "delete", sessid: 1 }]);
    // A promise of the hub's would have this test go on inside the hub, and end with it.
    await vi.waitFor(() => expect(hasRead).toBe(true));
    const hub = openEventHub(bindings);
    await expect(runInDurableObject(hub, (_, state) => state.abort("a new version"))).rejects.toThrow("a new version");
    vi.restoreAllMocks();
    await listener.until(() => listener.hasEnded);
    expect(listener.blocks.filter(({ event }) => event !== undefined)).toEqual([]);

    const resumed = await listen("", listener.position);
    await store.run([{ kind: "delete", sessid: 2 }]);
    expect(await received(resumed, 2)).toMatchObject([
      { kind: "ended", sessid: 1 },
      { kind: "ended", sessid: 2 },
    ]);
  });
});

describe("checkpoints:", () => {
  it("a listener for whom nothing happens is given positions up to which it was told all, so that its own does not age out of the log", async () => {
    await store.run([register(1)]);
    const listener = await listen("?kinds=ended");
    const first = listener.position;
    await store.run([register(2), register(3)]);
    const { position } = await LogReader.open(store);
    expect(position).not.toBe(first);
    const clock = vi.spyOn(Date, "now");
    const startMs = Date.now();
    // Each read of the clock takes it a second further.
    let reads = 0;
    clock.mockImplementation(() => startMs + 1000 * reads++);
    await listener.until(() => listener.position === position);
    clock.mockRestore();
    expect(listener.blocks.every(({ event, isComment }) => event === undefined && isComment)).toBe(true);
    await listener.close();

    await store.run([{ kind: "delete", sessid: 1 }]);
    expect(await received(await listen("?kinds=ended", position), 1)).toMatchObject([{ kind: "ended", sessid: 1 }]);
  });
});
