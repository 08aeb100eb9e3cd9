import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LogPage, SessionEvent } from "../../../../worker/session-store/session-log.ts";
import { runOne, type SessionStore } from "../../../../worker/session-store/session-store.ts";
import { live, register } from "../conformance/session-requests.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

const LIMIT = 1000;

/** An event in short: what, whom, whose. */
function short({ kind, reason, sessid, user }: SessionEvent): string {
  return `${reason ?? kind} ${sessid} ${user}`;
}

/** Where a reader stands that is told of everything from now on. */
async function endOfLog(store: SessionStore): Promise<string> {
  const page = await store.readLog({ after: null, limit: LIMIT });
  if (page.kind !== "events") throw new Error(`the log is ${page.kind}`);
  return page.position;
}

function positionOf(page: LogPage): string {
  if (page.kind === "unavailable") throw new Error("the log is unavailable");
  return page.position;
}

async function readAll(store: SessionStore, start: string): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  for (let after = start, more = true; more; ) {
    const page = await store.readLog({ after, limit: LIMIT });
    events.push(...eventsOf(page));
    after = positionOf(page);
    more = page.kind === "events" && page.more;
  }
  return events;
}

function eventsOf(page: LogPage): readonly SessionEvent[] {
  if (page.kind !== "events") throw new Error(`the log is ${page.kind}`);
  return page.events;
}

describe("the log of RedisStore", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  /** What happened since a position, in short. */
  const since = async (store: SessionStore, after: string) =>
    eventsOf(await store.readLog({ after, limit: LIMIT })).map(short);

  it("says what became of sessions, in one entry for each script call", async () => {
    const store = harness.open({ maxSessionsPerUser: 2, limitPolicy: "evict-oldest" });
    const start = await endOfLog(store);
    await store.run([register(1), register(2), register(-3, { user: null })]);
    await store.run([register(4), { kind: "delete", sessid: 4 }, { kind: "deleteUser", user: "kim" }]);
    await store.endAll();
    expect(await since(store, start)).toEqual([
      "began 1 kim",
      "began 2 kim",
      "began -3 null",
      "evicted 1 kim",
      "began 4 kim",
      "deleted 4 kim",
      "deleted 2 kim",
      "deleted -3 null",
    ]);
    // With the marker; a call that changes nothing adds none.
    expect(await harness.command("XLEN", harness.keys.log)).toBe(6);
  });

  it("writes the end of an expired session before whatever takes its number, with its user and its expiry", async () => {
    const store = harness.open();
    const start = await endOfLog(store);
    const { expiresAt } = await runOne(store, register(1, { user: 'l/e"\ne', idleMs: 500 }));
    await harness.advance(500);
    await store.run([register(1, { user: null })]);
    const events = eventsOf(await store.readLog({ after: start, limit: LIMIT }));
    expect(events.map(short)).toEqual(['began 1 l/e"\ne', 'expired 1 l/e"\ne', "began 1 null"]);
    expect(events[1]?.at).toBe(expiresAt);
    expect(events[2]?.at).toBe((await live(store, 1)).createdAt);
  });

  it("leaves beginnings out for a reader that does not want them, and the reader advances all the same", async () => {
    const store = harness.open();
    const kinds = new Set(["changed", "ended"] as const);
    const start = await endOfLog(store);
    await store.run([register(1)]);
    await store.run([register(1, { grants: ["a"] }), register(2)]);
    for (let sessid = 3; sessid < 1300; sessid++)
      await harness.command("XADD", harness.keys.log, "*", "b", `1\nb${sessid}"kim"`);
    const first = await store.readLog({ after: start, limit: LIMIT, kinds });
    expect(eventsOf(first).map(short)).toEqual(["changed 1 kim"]);
    expect(first).toMatchObject({ more: true });
    const rest = await store.readLog({ after: positionOf(first), limit: LIMIT, kinds });
    expect(rest).toMatchObject({ events: [], more: false, position: await endOfLog(store) });
    expect(await since(store, positionOf(rest))).toEqual([]);
    await store.run([register(1, { idleMs: 1000 })]);
    expect(eventsOf(await store.readLog({ after: positionOf(rest), limit: LIMIT, kinds })).map(short)).toEqual([
      "changed 1 kim",
    ]);
  });

  it("has at most 1,000 sessions in an entry", async () => {
    const store = harness.open();
    const start = await endOfLog(store);
    await store.run(Array.from({ length: 1000 }, (_, index) => register(index + 1)));
    await store.run(Array.from({ length: 200 }, (_, index) => register(index + 1001)));
    const before = await harness.command<number>("XLEN", harness.keys.log);
    expect((await runOne(store, { kind: "deleteUser", user: "kim" })).deleted).toBe(1200);
    expect(await harness.command("XLEN", harness.keys.log)).toBe(before + 2);
    const all = await readAll(store, start);
    expect(all.filter(({ kind }) => kind === "began")).toHaveLength(1200);
    expect(new Set(all.filter(({ kind }) => kind === "ended").map(({ sessid }) => sessid)).size).toBe(1200);
    expect(all).toHaveLength(2400);
  });

  it("ends expired sessions before their numbers are taken, also where more have expired than a script trims", async () => {
    const store = harness.open();
    const start = await endOfLog(store);
    const sessids = Array.from({ length: 250 }, (_, index) => index + 1);
    await store.run(sessids.map((sessid) => register(sessid, { idleMs: 500 })));
    await harness.advance(501);
    // The last to be trimmed are taken first, one of them by a session without a user.
    await store.run([...sessids].reverse().map((sessid) => register(sessid, { user: sessid === 250 ? null : "lee" })));
    await store.endAll();
    const all = await readAll(store, start);
    for (const sessid of sessids) {
      const user = sessid === 250 ? null : "lee";
      expect(all.filter((event) => event.sessid === sessid).map(short)).toEqual([
        `began ${sessid} kim`,
        `expired ${sessid} kim`,
        `began ${sessid} ${user}`,
        `deleted ${sessid} ${user}`,
      ]);
    }
  });

  it("loses no beginning and no end of sessions under one number in one script", async () => {
    const store = harness.open({ maxSessionsPerUser: 1, limitPolicy: "evict-oldest" });
    const start = await endOfLog(store);
    await store.run([register(1), register(2), register(1, { user: null, idleMs: 500 })]);
    await harness.advance(501);
    await store.sweep();
    expect(await since(store, start)).toEqual([
      "began 1 kim",
      "evicted 1 kim",
      "began 2 kim",
      "began 1 null",
      "expired 1 null",
    ]);
    expect(await harness.faults()).toEqual([]);
  });

  it.each([10, 100_000])(
    "keeps at least %i entries, and tells a reader beyond them that it has missed some",
    async (logEntries) => {
      const store = harness.open({}, { logEntries });
      const start = await endOfLog(store);
      let position = start;
      const positions: string[] = [];
      for (let sessid = 1; sessid <= 350; sessid++) {
        await store.run([register(sessid)]);
        const page = await store.readLog({ after: position, limit: LIMIT });
        expect(eventsOf(page).map(short)).toEqual([`began ${sessid} kim`]);
        position = positionOf(page);
        positions.push(position);
      }
      // Redis trims in blocks of 100.
      const kept = await harness.command<number>("XLEN", harness.keys.log);
      expect(kept).toBeGreaterThanOrEqual(Math.min(logEntries, 351));
      expect(kept).toBeLessThanOrEqual(Math.min(logEntries + 100, 351));
      for (const [index, after] of [start, ...positions].entries()) {
        const page = await store.readLog({ after, limit: LIMIT });
        if (351 - index > kept) expect(page).toEqual({ kind: "reset", position });
        else expect(eventsOf(page)).toHaveLength(350 - index);
      }
    },
  );

  describe("after a failover that lost its last entries", () => {
    /** The log as a replica had it that did not get the last `lost` entries. */
    async function failOver(lost: number): Promise<string[]> {
      const entries = await harness.command<[string, string[]][]>("XRANGE", harness.keys.log, "-", "+");
      await harness.command("DEL", harness.keys.log);
      const kept = entries.slice(0, entries.length - lost);
      for (const [id, fields] of kept) await harness.command("XADD", harness.keys.log, id, ...fields);
      return entries.slice(entries.length - lost).map(([id]) => id);
    }

    it("resets a reader that stands on a lost one, also if another has its id, and no other reader", async () => {
      const store = harness.open();
      await store.run([register(1)]);
      const kept = await endOfLog(store);
      await store.run([register(2)]);
      const lost = await endOfLog(store);
      const [id = ""] = await failOver(1);
      expect(await store.readLog({ after: lost, limit: LIMIT })).toEqual({ kind: "reset", position: kept });
      expect(await since(store, kept)).toEqual([]);

      await harness.command("XADD", harness.keys.log, id, "b", `${id.split("-")[0]}\nb3"kim"`);
      expect(await store.readLog({ after: lost, limit: LIMIT })).toEqual({
        kind: "reset",
        position: await endOfLog(store),
      });
      expect(await since(store, kept)).toEqual(["began 3 kim"]);
    });

    it("resets a reader that stands inside an entry which is shorter now", async () => {
      const store = harness.open();
      await store.run([register(1), register(2)]);
      const inside = await endOfLog(store);
      const [id = "", seen, digest] = inside.split("_");
      expect(seen).toBe("2");
      expect((await store.readLog({ after: `${id}_1_${digest}`, limit: LIMIT })).kind).toBe("events");
      expect((await store.readLog({ after: `${id}_3_${digest}`, limit: LIMIT })).kind).toBe("reset");
    });
  });

  describe("after an update from a version without it", () => {
    /** What such a version leaves of the sessions that there are: no owners, no log, and an index that expires. */
    async function forgetLog(): Promise<void> {
      await harness.command("DEL", harness.keys.owners, harness.keys.log);
      await harness.command("PEXPIRE", harness.keys.sessions, "60000");
    }

    it("has the user of an older session that is deleted or changed, and none of one that expires", async () => {
      const store = harness.open();
      await store.run([register(1), register(2), register(3, { idleMs: 500 })]);
      await forgetLog();
      const start = await endOfLog(store);
      await store.run([register(1, { grants: ["a"] }), { kind: "delete", sessid: 2 }]);
      await harness.advance(501);
      expect(await since(store, start)).toEqual(["changed 1 kim", "deleted 2 kim", "expired 3 null"]);
    });

    it("has no session dropped by Redis from the index, once something was written", async () => {
      const store = harness.open();
      await store.run([register(1)]);
      await forgetLog();
      await store.run([register(2)]);
      expect(await harness.command("PTTL", harness.keys.sessions)).toBe(-1);
    });
  });

  it("resets a reader whose entry is gone, and leaves it at the end", async () => {
    const store = harness.open();
    await runOne(store, register(1));
    const start = await endOfLog(store);
    for (const [index, lose] of [["FLUSHALL"], ["DEL", harness.keys.log]].entries()) {
      await harness.command(...lose);
      const page = await store.readLog({ after: start, limit: LIMIT });
      expect(page.kind).toBe("reset");
      if (page.kind !== "reset") continue;
      await runOne(store, register(10 + index));
      expect(await since(store, page.position)).toEqual([`began ${10 + index} kim`]);
    }
  });
});
