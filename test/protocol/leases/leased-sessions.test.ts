import { describe, expect, test } from "vitest";
import { decodeBridgeMessage, encodeLeaseMessage, type LeaseMessage } from "../../../protocol/leases/lease-messages.ts";
import { LeasedSessions, type Lookup, type Verdict } from "../../../protocol/leases/leased-sessions.ts";
import type { LeasedSessionsLimits } from "../../../protocol/leases/session-memory.ts";

const BOUND_MS = 1000;
/** 5 % less. */
const LEASE_MS = 950;
/** What is left of a keep of 30 s: 2 % less, and the 20 ms by which the clocks may disagree unnoticed. */
const KEPT_MS = 30_000 * 0.98 - 20;

const LIMITS: LeasedSessionsLimits = { maxSessions: 1000, maxBytes: 1 << 20, maxKeepMs: 30_000 };

/** A bridge's machine, and the hub as the test plays it. */
class Stage {
  monotonicMs = 5_000;
  wallMs = 1e12;
  readonly sessions: LeasedSessions;
  readonly sent: LeaseMessage[] = [];
  readonly closes: number[] = [];
  #changes = 0;

  constructor(limits: Partial<LeasedSessionsLimits> = {}) {
    this.sessions = new LeasedSessions(
      { ...LIMITS, ...limits },
      {
        send: (frame) => this.sent.push(decodeBridgeMessage(frame)),
        close: (code) => this.closes.push(code),
        answers: () => ({ answered: 9, fromMemory: 4 }),
      },
    );
  }

  get nowMs(): number {
    return this.sessions.timeAt(this.monotonicMs, this.wallMs);
  }

  pass(ms: number): void {
    this.monotonicMs += ms;
    this.wallMs += ms;
  }

  suspend(ms: number): void {
    this.wallMs += ms;
  }

  receive(message: LeaseMessage): void {
    this.sessions.received(encodeLeaseMessage(message), this.nowMs);
  }

  /** Connects, and gets the first lease. */
  join(boundMs = BOUND_MS): this {
    this.#changes = 0;
    this.sessions.connected(this.nowMs);
    this.receive({ kind: "welcome", boundMs });
    this.grant();
    return this;
  }

  /** Grants the renewal that was sent last. */
  grant(): void {
    this.receive({ kind: "granted", renewal: this.lastRenewal });
  }

  get lastRenewal(): number {
    const last = this.sent.findLast(({ kind }) => kind === "renew");
    return last?.kind === "renew" ? last.renewal : 0;
  }

  change(...sessids: number[]): void {
    this.#changes += 1;
    this.receive({ kind: "changes", number: this.#changes, sessids });
  }

  reset(): void {
    this.#changes += 1;
    this.receive({ kind: "reset", number: this.#changes });
  }

  begin(): Lookup {
    const lookup = this.sessions.begin(this.nowMs);
    if (lookup === undefined) throw new Error("nothing would be kept");
    return lookup;
  }

  put(sessid: number, verdict: Partial<Verdict> = {}, lookup = this.begin()): void {
    const empty = { sessid, keepMs: 30_000, user: null, secret: null, grants: null };
    this.sessions.put(lookup, { ...empty, ...verdict }, this.nowMs);
  }

  /** Holds the lease for so long. */
  live(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.pass(Math.min(100, left));
      this.sessions.tick(this.nowMs);
      this.grant();
    }
  }

  knows(sessid: number): boolean {
    return this.sessions.get(sessid, this.nowMs) !== undefined;
  }
}

describe("a lease", () => {
  test("lasts for 95 % of the bound, and counts from when its renewal was sent", () => {
    const stage = new Stage();
    stage.sessions.connected(stage.nowMs);
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
    stage.receive({ kind: "welcome", boundMs: BOUND_MS });
    expect(stage.sent).toEqual([{ kind: "renew", renewal: 1 }]);
    stage.pass(400);
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
    stage.grant();
    stage.put(7);
    stage.pass(LEASE_MS - 400 - 1);
    expect(stage.knows(7)).toBe(true);
    stage.pass(1);
    expect(stage.knows(7)).toBe(false);
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
  });

  test("is renewed every third of the bound, and answers by what was kept in the one before", () => {
    const stage = new Stage().join(900);
    stage.put(7);
    for (let renewal = 2; renewal < 20; renewal++) {
      stage.pass(300);
      expect(stage.sessions.deadlineMs).toBe(stage.nowMs);
      stage.sessions.tick(stage.nowMs);
      expect(stage.sent.at(-1)).toEqual({ kind: "renew", renewal });
      stage.grant();
      expect(stage.knows(7)).toBe(true);
    }
  });

  test("is what the newest grant says, whichever comes last", () => {
    const stage = new Stage().join();
    stage.pass(400);
    stage.sessions.tick(stage.nowMs);
    stage.pass(400);
    stage.sessions.tick(stage.nowMs);
    stage.receive({ kind: "granted", renewal: 3 });
    stage.receive({ kind: "granted", renewal: 2 });
    stage.pass(LEASE_MS - 1);
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(true);
  });

  test("that is granted after it would have ended is none, nor is one that nobody asked for", () => {
    const stage = new Stage().join();
    stage.pass(BOUND_MS);
    stage.sessions.tick(stage.nowMs);
    stage.pass(BOUND_MS + 1);
    stage.grant();
    stage.receive({ kind: "granted", renewal: 99 });
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
  });

  test("ends while the machine is suspended, though its monotonic clock stands still", () => {
    const stage = new Stage().join();
    stage.put(7);
    stage.suspend(LEASE_MS);
    expect(stage.knows(7)).toBe(false);
  });

  test("that was asked for before a suspension is not counted from after it", () => {
    const stage = new Stage().join();
    stage.pass(400);
    stage.sessions.tick(stage.nowMs);
    stage.suspend(LEASE_MS);
    stage.grant();
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
  });

  test("ages by as much as the wall clock is set forward", () => {
    const stage = new Stage().join();
    stage.put(7);
    stage.wallMs += 500;
    expect(stage.knows(7)).toBe(true);
    stage.pass(LEASE_MS - 500);
    expect(stage.knows(7)).toBe(false);
  });

  test("is over when the wall clock is set back, with all that is kept and under way", () => {
    const stage = new Stage().join();
    stage.put(7);
    const lookup = stage.begin();
    stage.pass(400);
    stage.sessions.tick(stage.nowMs);
    stage.wallMs -= 3_600_000;
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
    stage.grant();
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
    stage.put(8, {}, lookup);
    stage.pass(400);
    stage.sessions.tick(stage.nowMs);
    stage.grant();
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(true);
    expect([stage.knows(7), stage.knows(8)]).toEqual([false, false]);
  });

  test("does not mind that clocks are read in whole milliseconds, and a little apart", () => {
    const stage = new Stage().join();
    stage.put(7);
    for (let step = 0; step < 50; step++) {
      stage.pass(10.3);
      const jitterMs = [0, 8, -8][step % 3] ?? 0;
      stage.sessions.timeAt(stage.monotonicMs, Math.floor(stage.wallMs) + jitterMs);
    }
    expect(stage.knows(7)).toBe(true);
  });

  test("never makes time run backwards", () => {
    const stage = new Stage();
    let lastMs = stage.nowMs;
    for (const setMs of [5_000, -9_000, 100, -100, 3, -3, 70_000]) {
      stage.wallMs += setMs;
      stage.pass(1);
      expect(stage.nowMs).toBeGreaterThan(lastMs);
      lastMs = stage.nowMs;
    }
  });
});

describe("a session", () => {
  test("is kept with what the responses said of it; a plain check leaves that as it is", () => {
    const stage = new Stage().join();
    const secret = new Uint8Array(16).fill(7);
    stage.put(7, { user: "kim", secret, grants: ["a"] });
    stage.put(7);
    expect(stage.sessions.get(7, stage.nowMs)).toMatchObject({ sessid: 7, user: "kim", secret, grants: ["a"] });
    stage.put(7, { grants: ["a"] });
    expect(stage.sessions.get(7, stage.nowMs)).toMatchObject({ user: "kim", secret, grants: ["a"] });
  });

  test("has no token any more when it is found to have other grants, which came with another token perhaps", () => {
    const stage = new Stage().join();
    stage.put(7, { user: "kim", secret: new Uint8Array(16).fill(7), grants: ["a"] });
    stage.put(7, { grants: ["b"] });
    expect(stage.sessions.get(7, stage.nowMs)).toMatchObject({ user: null, secret: null, grants: ["b"] });
  });

  test("has no grants any more when another token of it is shown, whose grants are not told", () => {
    const stage = new Stage().join();
    stage.put(7, { grants: ["a"] });
    stage.put(7, { user: "kim", secret: new Uint8Array(16).fill(8) });
    expect(stage.sessions.get(7, stage.nowMs)).toMatchObject({ user: "kim", grants: null });
  });

  test("is kept from when its lookup began, for 2 % less than the edge said", () => {
    const stage = new Stage().join();
    const lookup = stage.begin();
    stage.live(500);
    stage.put(7, {}, lookup);
    stage.live(KEPT_MS - 500 - 1);
    expect(stage.knows(7)).toBe(true);
    stage.live(1);
    expect(stage.knows(7)).toBe(false);
  });

  test.each([
    ["the edge says so", 10_000, {}, 10_000 * 0.98 - 20],
    ["the limit says so", 30_000, { maxKeepMs: 5_000 }, 5_000 * 0.98 - 20],
  ])("is kept for less if %s", (_, keepMs, limits, keptMs) => {
    const stage = new Stage(limits).join();
    stage.put(7, { keepMs });
    stage.live(keptMs - 1);
    expect(stage.knows(7)).toBe(true);
    stage.live(1);
    expect(stage.knows(7)).toBe(false);
  });

  test("does not get the user of one that had its number, when the keep of that has ended", () => {
    const stage = new Stage().join();
    stage.put(7, { keepMs: 1_000, user: "kim" });
    stage.live(1_000);
    stage.put(7);
    expect(stage.sessions.get(7, stage.nowMs)).toMatchObject({ user: null });
  });

  test("is forgotten when a change is pushed, which is then acked", () => {
    const stage = new Stage().join();
    for (const sessid of [1, 2, 3]) stage.put(sessid);
    stage.change(1, 3);
    expect(stage.sent.at(-1)).toEqual({ kind: "ack", number: 1 });
    expect([1, 2, 3].map((sessid) => stage.knows(sessid))).toEqual([false, true, false]);
    stage.change();
    expect(stage.sent.at(-1)).toEqual({ kind: "ack", number: 2 });
    expect(stage.knows(2)).toBe(true);
  });

  test("is not kept if its change came while it was looked up; others are", () => {
    const stage = new Stage().join();
    const before = stage.begin();
    stage.change(1);
    const after = stage.begin();
    stage.put(1, {}, before);
    stage.put(2, {}, before);
    expect([stage.knows(1), stage.knows(2)]).toEqual([false, true]);
    stage.put(1, {}, after);
    expect(stage.knows(1)).toBe(true);
  });

  test("is not kept if it was invalidated while it was looked up", () => {
    const stage = new Stage().join();
    stage.put(7);
    const lookup = stage.begin();
    stage.sessions.invalidate(7, stage.nowMs);
    expect(stage.knows(7)).toBe(false);
    stage.put(7, {}, lookup);
    expect(stage.knows(7)).toBe(false);
  });

  test("is not kept if its lookup took more than 10 s", () => {
    const stage = new Stage().join();
    const [fast, slow] = [stage.begin(), stage.begin()];
    stage.live(10_000);
    stage.put(1, {}, fast);
    stage.live(1);
    stage.put(2, {}, slow);
    expect([stage.knows(1), stage.knows(2)]).toEqual([true, false]);
  });

  test("is not kept if a change came during a long lookup among many others", () => {
    const stage = new Stage().join();
    const lookup = stage.begin();
    stage.change(7);
    for (let second = 1; second < 10; second++) {
      stage.live(1_000);
      stage.change(100 + second);
    }
    stage.put(7, {}, lookup);
    stage.put(8, {}, lookup);
    expect([stage.knows(7), stage.knows(8)]).toEqual([false, true]);
  });

  test.each([
    ["a Reset", (stage: Stage) => stage.reset()],
    ["invalidateAll", (stage: Stage) => stage.sessions.invalidateAll()],
    ["a lost connection", (stage: Stage) => stage.sessions.disconnected()],
    ["a new connection", (stage: Stage) => stage.sessions.connected(stage.nowMs)],
  ])("is forgotten by %s, and not kept if that came while it was looked up", (_, happens) => {
    const stage = new Stage().join();
    stage.put(7);
    const lookup = stage.begin();
    happens(stage);
    if (!stage.sessions.holdsLease(stage.nowMs)) stage.join();
    stage.put(8, {}, lookup);
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(true);
    expect([stage.knows(7), stage.knows(8)]).toEqual([false, false]);
    stage.put(9);
    expect(stage.knows(9)).toBe(true);
  });

  test("is kept while a lease has lapsed, as its changes still come on the connection", () => {
    const stage = new Stage().join();
    stage.put(7);
    stage.pass(2_000);
    expect(stage.knows(7)).toBe(false);
    stage.put(8);
    stage.sessions.tick(stage.nowMs);
    stage.change(7);
    stage.grant();
    expect([stage.knows(7), stage.knows(8)]).toEqual([false, true]);
  });

  test("is not looked up to be kept before the first grant of a connection", () => {
    const stage = new Stage();
    expect(stage.sessions.begin(stage.nowMs)).toBeUndefined();
    stage.sessions.connected(stage.nowMs);
    expect(stage.sessions.begin(stage.nowMs)).toBeUndefined();
    stage.receive({ kind: "welcome", boundMs: BOUND_MS });
    expect(stage.sessions.begin(stage.nowMs)).toBeUndefined();
    stage.grant();
    expect(stage.sessions.begin(stage.nowMs)).toBeDefined();
    stage.sessions.disconnected();
    expect(stage.sessions.begin(stage.nowMs)).toBeUndefined();
  });
});

describe("takeDue", () => {
  /** All that is due in this time, asked for every 250 ms. */
  function dueWithin(stage: Stage, ms: number): number[] {
    const due: number[] = [];
    for (let passed = 0; passed < ms; passed += 250) {
      stage.live(250);
      due.push(...stage.sessions.takeDue(stage.nowMs));
    }
    return due;
  }

  test("names a session that was used, once, in the second half of its keep", () => {
    const stage = new Stage().join();
    stage.put(7);
    stage.put(8);
    expect(stage.knows(7)).toBe(true);
    expect(dueWithin(stage, KEPT_MS / 2 - 500)).toEqual([]);
    expect(dueWithin(stage, KEPT_MS / 2 - 1_000)).toEqual([7]);
    expect(stage.knows(7)).toBe(true);
  });

  test("names a session that is used only after it was due", () => {
    const stage = new Stage().join();
    stage.put(7);
    expect(dueWithin(stage, KEPT_MS - 2_000)).toEqual([]);
    expect(stage.knows(7)).toBe(true);
    expect(stage.knows(7)).toBe(true);
    expect(dueWithin(stage, 500)).toEqual([7]);
  });

  test("keeps a session in use for ever, if what it names is looked up", () => {
    const stage = new Stage().join();
    stage.put(7, { keepMs: 1_000, user: "kim" });
    for (let step = 0; step < 400; step++) {
      stage.live(100);
      expect(stage.sessions.get(7, stage.nowMs)?.user).toBe("kim");
      for (const sessid of stage.sessions.takeDue(stage.nowMs)) stage.put(sessid, { keepMs: 1_000 });
    }
  });

  test("names sessions that were kept together at different times", () => {
    const stage = new Stage().join();
    for (let sessid = 1; sessid <= 1000; sessid++) stage.put(sessid);
    for (let sessid = 1; sessid <= 1000; sessid++) stage.knows(sessid);
    const counts: number[] = [];
    for (let step = 0; step < 120; step++) {
      stage.live(250);
      counts.push(stage.sessions.takeDue(stage.nowMs).length);
    }
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1000);
    expect(Math.max(...counts)).toBeLessThan(100);
  });

  test("removes what may not be kept any longer", () => {
    const stage = new Stage().join();
    for (let sessid = 1; sessid <= 100; sessid++) stage.put(sessid, { keepMs: 1_000 * (1 + (sessid % 30)) });
    dueWithin(stage, 30_000);
    expect(stage.sessions.size).toBe(0);
  });

  test("removes everything after a long pause, and names nothing without a lease", () => {
    const stage = new Stage().join();
    for (let sessid = 1; sessid <= 100; sessid++) {
      stage.put(sessid);
      stage.knows(sessid);
    }
    stage.pass(20_000);
    expect(stage.sessions.takeDue(stage.nowMs)).toEqual([]);
    stage.suspend(1e9);
    expect(stage.sessions.takeDue(stage.nowMs)).toEqual([]);
    expect(stage.sessions.size).toBe(0);
  });
});

describe("the memory of a bridge", () => {
  test("holds at most so many sessions: the one that was kept first goes", () => {
    const stage = new Stage({ maxSessions: 3 }).join();
    for (const sessid of [1, 2, 3]) stage.put(sessid);
    stage.put(1);
    stage.put(4);
    expect([1, 2, 3, 4].map((sessid) => stage.knows(sessid))).toEqual([true, false, true, true]);
    expect(stage.sessions.size).toBe(3);
  });

  test("holds at most so many bytes, texts included", () => {
    const stage = new Stage({ maxBytes: 10_000 }).join();
    for (let sessid = 1; sessid <= 1000; sessid++) stage.put(sessid, { grants: ["g".repeat(1000)] });
    expect(stage.sessions.size).toBeGreaterThan(2);
    expect(stage.sessions.size).toBeLessThan(6);
    stage.put(5000, { user: "u".repeat(6000) });
    expect(stage.sessions.size).toBe(0);
    stage.put(1, { user: "kim" });
    expect(stage.knows(1)).toBe(true);
  });

  test("keeps nothing if it may hold nothing", () => {
    const stage = new Stage({ maxSessions: 0 }).join();
    stage.put(1);
    expect(stage.sessions.size).toBe(0);
  });

  test("remembers so many changes; beyond that nothing is kept that was looked up meanwhile", () => {
    const stage = new Stage().join();
    const lookup = stage.begin();
    for (let sessid = 1; sessid <= 60_000; sessid++) stage.sessions.invalidate(sessid, stage.nowMs);
    stage.put(1, {}, lookup);
    stage.put(70_000, {}, lookup);
    expect(stage.sessions.size).toBe(0);
    stage.put(1);
    expect(stage.knows(1)).toBe(true);
  });
});

describe("a connection to a hub", () => {
  test.each([
    ["garbage", (stage: Stage) => stage.sessions.received(Uint8Array.of(9), stage.nowMs)],
    ["text", (stage: Stage) => stage.sessions.received("hello", stage.nowMs)],
    ["a bridge's message", (stage: Stage) => stage.receive({ kind: "renew", renewal: 1 })],
    ["a second Welcome", (stage: Stage) => stage.receive({ kind: "welcome", boundMs: BOUND_MS })],
    ["changes with a number missing", (stage: Stage) => stage.receive({ kind: "changes", number: 2, sessids: [1] })],
    ["a number for the second time", (stage: Stage) => stage.receive({ kind: "reset", number: 0 })],
  ])("is closed after %s, and everything is forgotten", (_, happens) => {
    const stage = new Stage().join();
    stage.put(7);
    const lookup = stage.begin();
    happens(stage);
    expect(stage.closes).toEqual([1002]);
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
    expect(stage.sessions.size).toBe(0);
    stage.put(8, {}, lookup);
    expect(stage.sessions.size).toBe(0);
    stage.grant();
    expect(stage.sessions.holdsLease(stage.nowMs)).toBe(false);
  });

  test("is closed if the hub says anything before its Welcome", () => {
    const stage = new Stage();
    stage.sessions.connected(stage.nowMs);
    stage.receive({ kind: "granted", renewal: 0 });
    expect(stage.closes).toEqual([1002]);
  });

  test.each([
    [BOUND_MS, 10_000],
    [60_000, 300_000],
  ])("with a bound of %i ms is given up after %i ms of silence", (boundMs, silenceMs) => {
    const stage = new Stage().join(boundMs);
    for (let left = silenceMs; left > 0; left -= 100) {
      expect(stage.closes).toEqual([]);
      stage.pass(100);
      stage.sessions.tick(stage.nowMs);
    }
    expect(stage.closes).toEqual([1001]);
    expect(stage.sessions.deadlineMs).toBeUndefined();
    stage.sessions.tick(stage.nowMs);
    expect(stage.closes).toEqual([1001]);
  });

  test("that is silent from the start is given up too", () => {
    const stage = new Stage();
    stage.sessions.connected(stage.nowMs);
    stage.pass(10_000);
    expect(stage.sessions.deadlineMs).toBe(stage.nowMs);
    stage.sessions.tick(stage.nowMs);
    expect(stage.closes).toEqual([1001]);
  });
});
