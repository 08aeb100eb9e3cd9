import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { failedResponse } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import type { EmbeddedSessions } from "../../../../worker/session-store/embedded/embedded-sessions.ts";
import { EmbeddedStore } from "../../../../worker/session-store/embedded/embedded-store.ts";
import type { Leases } from "../../../../worker/session-store/session-log.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import { check, count, live, register } from "../conformance/session-requests.ts";
import { PATIENT_DEADLINE_MS, testPolicy } from "../store-harness.ts";
import { createEmbeddedHarness, embeddedObject } from "./embedded-harness.ts";

describe("EmbeddedSessions", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());

  const rows = () =>
    runInDurableObject(embeddedObject(), (_, state) => {
      return state.storage.sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM sessions").one().n;
    });

  it("keeps its sessions when it is evicted", async () => {
    const store = harness.open();
    await store.run([register(1, { idleMs: 10 ** 12 }), register(2, { user: "lee", idleMs: 10 ** 12 })]);
    await runOne(store, { kind: "delete", sessid: 2 });
    const before = await live(store, 1);
    await evictDurableObject(embeddedObject());
    // The object that comes back has the real clock again.
    await runInDurableObject(embeddedObject(), async (object) => {
      const now = await harness.now();
      object.nowMs = () => now;
    });
    expect(await live(store, 1)).toEqual(before);
    expect(await count(store)).toEqual([1, 1]);
  });

  it("writes a touch by itself, after the response", async () => {
    const store = harness.open();
    const { expiresAt } = await runOne(store, register(1));
    await harness.advance(1000);
    await check(store, 1);
    await vi.waitUntil(async () => (await live(store, 1)).expiresAt === expiresAt + 1000, { timeout: 30_000 });
  });

  it("removes expired rows with the next write, and with a sweep", async () => {
    const store = harness.open();
    const sessions = Array.from({ length: 50 }, (_, index) => register(index + 1, { user: `user-${index}` }));
    await store.run(sessions);
    await harness.advance(harness.idleMs);
    expect(await rows()).toBe(50);
    await runOne(store, register(99));
    expect(await rows()).toBe(1);
    await harness.advance(harness.idleMs);
    await store.sweep();
    expect(await rows()).toBe(0);
  });

  it("sweeps everything that has expired, however much it is", async () => {
    const store = harness.open();
    for (let batch = 0; batch < 3; batch++) {
      await store.run(Array.from({ length: 1000 }, (_, index) => register(1 + batch * 1000 + index)));
    }
    await harness.advance(harness.idleMs);
    await store.sweep();
    expect(await rows()).toBe(0);
  });

  it("executes all of a batch, or none of it if one request fails", async () => {
    const store = harness.open();
    const broken = register(2, { idleMs: Number.NaN });
    const responses = await store.run([register(1), broken]);
    expect(responses).toEqual([1, 2].map(() => failedResponse("register", Status.Unavailable)));
    expect(await rows()).toBe(0);
  });
});

describe("what EmbeddedSessions writes", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());

  /** The rows that the object is billed for by `work`. */
  async function rowsWritten(work: () => Promise<unknown>): Promise<number> {
    const cursors: { readonly rowsWritten: number }[] = [];
    await runInDurableObject(embeddedObject(), (_, { storage: { sql } }) => {
      const exec = sql.exec.bind(sql);
      const counting = (...args: Parameters<typeof exec>) => {
        const cursor = exec(...args);
        cursors.push(cursor);
        return cursor;
      };
      Object.defineProperty(sql, "exec", { configurable: true, value: counting });
    });
    await work();
    return runInDurableObject(embeddedObject(), (_, { storage: { sql } }) => {
      Reflect.deleteProperty(sql, "exec");
      return cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, 0);
    });
  }

  const registers = (count: number) => Array.from({ length: count }, (_, index) => register(index + 1));

  // docs/performance/capacity-and-cost.md, "Rows of the embedded store"
  it("is a row of the log per run, beside the three of each session and its two indices", async () => {
    const store = harness.open({ touchIntervalMs: 60_000 });
    await store.readLog({ after: null, limit: 1 });
    expect(await rowsWritten(() => store.run(registers(1)))).toBe(4);
    expect(await rowsWritten(() => store.run(registers(100)))).toBe(301);
    expect(await rowsWritten(() => store.run([register(101)]))).toBe(4);
    expect(await rowsWritten(() => store.run(registers(1)))).toBe(3);
    expect(await rowsWritten(() => store.run([register(1, { grants: [] })]))).toBe(4);
    expect(await rowsWritten(() => store.run([{ kind: "check", sessid: 1 }]))).toBe(0);
    expect(await rowsWritten(() => store.run([{ kind: "delete", sessid: 1 }]))).toBe(2);
    expect(await rowsWritten(() => store.readLog({ after: null, limit: 1 }))).toBe(0);
    await harness.advance(60_000);
    const touches = async () => {
      await store.run([{ kind: "check", sessid: 2 }]);
      await harness.settle();
    };
    expect(await rowsWritten(touches)).toBe(3);
  });

  it("is one row where a full log drops one, and fewer entries once the limit is lowered", async () => {
    const [large, small] = [harness.open({}, { logEntries: 300 }), harness.open({}, { logEntries: 10 })];
    const entries = () =>
      runInDurableObject(
        embeddedObject(),
        (_, { storage: { sql } }) => sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM log").one().n,
      );
    for (let sessid = 1; sessid <= 310; sessid++) await large.run([register(sessid)]);
    expect(await entries()).toBe(300);
    expect(await rowsWritten(() => large.run([register(999)]))).toBe(4);
    for (let sessid = 1; sessid <= 5; sessid++) await small.run([{ kind: "delete", sessid }]);
    expect(await entries()).toBe(10);
  });

  it.each([
    ["grants leases", { lease: { hub: "hub", ms: 1000 } }],
    ["watches", { watchMs: 1000 }],
  ])("is a row a minute while a hub reads the log and %s", async (_, noted) => {
    const store = harness.open();
    const read = () => store.readLog({ after: null, limit: 1, ...noted });
    await read();
    const reads = async () => {
      for (let count = 0; count < 4 * 59; count++) {
        await harness.advance(250);
        await read();
      }
    };
    expect(await rowsWritten(reads)).toBe(0);
    await harness.advance(60_000);
    expect(await rowsWritten(read)).toBeGreaterThan(0);
  });
});

describe("the leases of an EmbeddedSessions that was evicted", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());

  /** Evicts the object, which comes back `ms` later. */
  async function evictFor(ms: number): Promise<void> {
    await evictDurableObject(embeddedObject());
    await harness.advance(ms);
    const now = await harness.now();
    await runInDurableObject(embeddedObject(), (object) => {
      object.nowMs = () => now;
    });
  }

  async function awaited(): Promise<Record<string, number>> {
    const waits: Leases[] = [];
    const awaitAcknowledgements = async (leases: Leases) => void waits.push(leases);
    await harness.open({}, { awaitAcknowledgements }).run([{ kind: "delete", sessid: 9 }]);
    return Object.fromEntries(waits.flatMap((leases) => [...leases]));
  }

  it("are taken for the longest that they can be, and not for ones of hubs long gone", async () => {
    const grant = (hub: string, ms: number) => harness.open().readLog({ after: null, limit: 1, lease: { hub, ms } });
    await grant("gone", 60_000);
    await harness.advance(180_000);
    await grant("hub", 1000);
    await harness.advance(900);
    expect(await awaited()).toEqual({ hub: 100 });
    await evictFor(50);
    expect(await awaited()).toEqual({ hub: 1000 });
    await evictFor(180_000);
    expect(await awaited()).toEqual({});
  });
});

describe("a watch of an EmbeddedSessions that was evicted", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());

  it("is known until a minute after its end, and is no lease to a worker of an older version", async () => {
    await harness.open().readLog({ after: null, limit: 1, watchMs: 1000 });
    await evictDurableObject(embeddedObject());
    const endMs = (await harness.now()) + 1000;
    const toldAt = (nowMs: number) =>
      runInDurableObject(embeddedObject(), (object, { storage }) => {
        object.nowMs = () => nowMs;
        const { leases, watchMs } = object.endSome(1);
        return { leases: leases.size, rows: storage.sql.exec("SELECT * FROM leases").toArray(), watchMs };
      });
    expect(await toldAt(endMs + 59_000)).toEqual({ leases: 0, rows: [], watchMs: 1000 });
    expect(await toldAt(endMs + 60_000)).toEqual({ leases: 0, rows: [], watchMs: undefined });
  });
});

describe("EmbeddedStore, when a call to the object fails,", () => {
  const harness = createEmbeddedHarness();
  beforeEach(() => harness.clear());

  /** A store whose runs are executed, and their first attempts not answered, with the leases for which it has waited. */
  function storeThatLosesAnswers() {
    const waits: Leases[] = [];
    let losesNext = true;
    const object = embeddedObject();
    const stub = {
      async run(...args: Parameters<typeof object.run>) {
        const outcome = await object.run(...args);
        losesNext = !losesNext;
        if (!losesNext) throw new Error("the answer is lost");
        return outcome;
      },
    };
    const store = new EmbeddedStore({
      namespace: { getByName: () => stub } as unknown as DurableObjectNamespace<EmbeddedSessions>,
      policy: testPolicy(harness.idleMs),
      deadlineMs: PATIENT_DEADLINE_MS,
      awaitAcknowledgements: async (leases) => void waits.push(leases),
    });
    return { store, waits };
  }

  it.each([
    ["a register", register(1)],
    ["an issue", { kind: "issue", user: "kim", ip: null } as const],
  ])("waits for leases with %s, whose first attempt may have evicted a session", async (_, request) => {
    const { store, waits } = storeThatLosesAnswers();
    await harness.open().readLog({ after: null, limit: 1, lease: { hub: "hub", ms: 1000 } });
    expect((await store.run([request])).map(({ status }) => status)).toEqual([Status.Ok]);
    expect(waits).toEqual([new Map([["hub", 1000]])]);
    expect(await count(store)).toEqual([1, 1]);
  });

  it("does not wait with a check", async () => {
    const { store, waits } = storeThatLosesAnswers();
    await harness.open().readLog({ after: null, limit: 1, lease: { hub: "hub", ms: 1000 } });
    expect(await check(store, 1)).toBe(Status.NotFound);
    expect(waits).toEqual([]);
  });
});

describe("EmbeddedStore, when the object does not answer,", () => {
  it("answers Unavailable within its deadline, and no ping", async () => {
    const silence = () => new Promise(() => {});
    const never = { run: silence, ping: silence, sweep: silence, readLog: silence };
    const namespace = { getByName: () => never } as unknown as ConstructorParameters<
      typeof EmbeddedStore
    >[0]["namespace"];
    const store = new EmbeddedStore({ namespace, policy: testPolicy(1000), deadlineMs: 100 });
    expect(await store.run([register(1)])).toEqual([failedResponse("register", Status.Unavailable)]);
    expect(await store.ping()).toBe(false);
    expect(await store.readLog({ after: null, limit: 1 })).toEqual({ kind: "unavailable" });
    await store.sweep();
  });
});
