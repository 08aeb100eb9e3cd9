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
