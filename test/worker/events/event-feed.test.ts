import { describe, expect, it } from "vitest";
import { DEFAULT_FEED_LIMITS, EventFeed, type FeedMessage, type Listening } from "../../../worker/events/event-feed.ts";
import { type LogPage, MAX_LOG_PAGE, type SessionEvent } from "../../../worker/session-store/session-log.ts";
import { type SimulationCounts, simulateFeed } from "./feed-simulation.ts";

/** 3,000 take 25 s. */
const SCENARIOS = 100;

const { maxBatch, minBatch, pollMs, minReadIntervalMs, checkpointMs, stalledMs, watchMs, maxPageReads } =
  DEFAULT_FEED_LIMITS;

/** A feed, its log, whose position is the number of its events, and its listeners, which are named by letters. */
class Stage {
  nowMs = 0;
  readonly feed: EventFeed<string>;
  readonly reads: { readonly after: string | null; readonly watchMs: number | undefined }[] = [];
  readonly pageReads: { readonly listener: string; readonly after: string; readonly limit: number }[] = [];
  readonly ended: string[] = [];
  readonly log: SessionEvent[] = [];
  /** The first event that the log still has. */
  first = 0;
  readonly #sent = new Map<string, FeedMessage[]>();

  constructor() {
    this.feed = new EventFeed<string>({
      read: (read) => this.reads.push(read),
      readPage: (listener, { after, limit }) => this.pageReads.push({ listener, after, limit }),
      send: (listener, message) => this.#sent.set(listener, [...(this.#sent.get(listener) ?? []), message]),
      end: (listener) => this.ended.push(listener),
    });
  }

  /** Listens, and takes its first checkpoint. */
  listen(listener: string, listening: Partial<Listening> = {}): void {
    this.connect(listener, listening);
    this.readDone();
    expect(this.take(listener)).toMatchObject([{ kind: "checkpoint" }]);
  }

  connect(listener: string, listening: Partial<Listening> = {}): void {
    this.wait(minReadIntervalMs);
    this.feed.connected(listener, { after: null, kinds: null, sessid: null, ...listening }, this.nowMs);
  }

  write(kind: SessionEvent["kind"], ...sessids: number[]): void {
    for (const sessid of sessids) {
      const position = `${this.log.length + 1}`;
      this.log.push({ position, at: 0, kind, reason: kind === "ended" ? "deleted" : null, sessid, user: null });
    }
  }

  /** Tells of something new, and reads it. */
  poke(): void {
    this.wait(minReadIntervalMs);
    this.feed.poked(() => undefined, this.nowMs);
    this.readDone();
  }

  page(after: string | null, limit = maxBatch): LogPage {
    const position = `${this.log.length}`;
    if (after === null) return { kind: "events", events: [], position, more: false };
    if (Number(after) < this.first) return { kind: "reset", position };
    const events = this.log.slice(Number(after), Number(after) + limit);
    const end = Number(after) + events.length;
    return { kind: "events", events, position: `${end}`, more: end < this.log.length };
  }

  readDone(page?: LogPage): void {
    this.feed.readDone(page ?? this.page(this.reads.at(-1)?.after ?? null, MAX_LOG_PAGE), this.nowMs);
  }

  pageRead(page?: LogPage): void {
    const read = this.pageReads.shift();
    if (read === undefined) throw new Error("no page is being read");
    this.feed.pageRead(read.listener, page ?? this.page(read.after, read.limit), this.nowMs);
  }

  /** What a listener was sent; it takes it. */
  take(listener: string): FeedMessage[] {
    const taken = this.#sent.get(listener) ?? [];
    this.#sent.delete(listener);
    if (taken.length > 0) this.feed.written(listener, this.nowMs);
    return taken;
  }

  /** Takes everything; the sessids of the events. */
  takeSessids(listener: string): number[] {
    const sessids: number[] = [];
    for (let sent = this.take(listener); sent.length > 0; sent = this.take(listener)) {
      sessids.push(
        ...sent.flatMap((message) => (message.kind === "events" ? message.events : [])).map((event) => event.sessid),
      );
    }
    return sessids;
  }

  /** Time passes; reads that begin are answered. */
  wait(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let next = this.feed.deadlineMs; next !== undefined && next <= untilMs; next = this.feed.deadlineMs) {
      this.nowMs = Math.max(this.nowMs, next);
      const before = this.reads.length;
      this.feed.tick(this.nowMs);
      if (this.reads.length > before) this.readDone();
    }
    this.nowMs = untilMs;
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("a listener", () => {
  it("gets a checkpoint at the end of the log, after a read that began when it had come", () => {
    const stage = new Stage();
    stage.write("began", 1, 2);
    stage.connect("a");
    stage.connect("b");
    expect(stage.reads).toEqual([{ after: null, watchMs }]);
    stage.readDone();
    expect(stage.take("a")).toEqual([{ kind: "checkpoint", position: "2" }]);
    expect(stage.take("b")).toEqual([]);
    expect(stage.reads).toHaveLength(2);
    stage.readDone();
    expect(stage.take("b")).toEqual([{ kind: "checkpoint", position: "2" }]);
  });

  it("gets nothing of before it came, also if the hub has several pages to read until then", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.write("ended", ...numbers(1, MAX_LOG_PAGE + 1));
    stage.connect("b");
    stage.readDone();
    expect(stage.take("b")).toEqual([]);
    stage.readDone();
    expect(stage.take("b")).toEqual([{ kind: "checkpoint", position: `${MAX_LOG_PAGE + 1}` }]);
  });

  it("gets what happens from then on, of the kinds that it wants", () => {
    const stage = new Stage();
    stage.listen("all");
    stage.listen("ends", { kinds: new Set(["ended"]) });
    stage.write("began", 1);
    stage.write("ended", 2);
    stage.poke();
    expect(stage.take("all")).toEqual([{ kind: "events", events: stage.log }]);
    expect(stage.take("ends")).toEqual([{ kind: "events", events: [stage.log[1]] }]);
  });

  it("gets from the ring what followed its position", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.write("ended", 1, 2, 3);
    stage.poke();
    stage.listen("b", { after: "1" });
    expect(stage.takeSessids("b")).toEqual([2, 3]);
    expect(stage.pageReads).toEqual([]);
  });

  it("catches up page by page as it takes them, and joins the live events without a gap or a repeat", () => {
    const stage = new Stage();
    const count = 2 * maxBatch + 10;
    stage.write("ended", ...numbers(1, count));
    stage.listen("late", { after: "0" });
    expect(stage.pageReads).toHaveLength(1);
    stage.pageRead();
    // Until it has taken the page, no other is read.
    stage.wait(10_000);
    expect(stage.pageReads).toEqual([]);
    const sessids = stage.takeSessids("late");
    stage.write("ended", count + 1);
    stage.poke();
    while (stage.pageReads.length > 0) {
      stage.pageRead();
      sessids.push(...stage.takeSessids("late"));
    }
    stage.write("ended", count + 2);
    stage.poke();
    sessids.push(...stage.takeSessids("late"));
    expect(sessids).toEqual(numbers(1, count + 2));
  });

  it("that has caught up farther than the hub has read waits for the hub, and reads no more pages", () => {
    const stage = new Stage();
    stage.write("ended", 1);
    stage.listen("a", { after: "0" });
    stage.write("ended", 2);
    stage.wait(minReadIntervalMs);
    stage.pageRead();
    expect(stage.takeSessids("a")).toEqual([1, 2]);
    expect([stage.pageReads.length, stage.reads.length]).toEqual([0, 2]);
    stage.readDone();
    stage.write("ended", 3);
    stage.poke();
    expect(stage.takeSessids("a")).toEqual([3]);
    expect(stage.pageReads).toEqual([]);
  });

  it("is told of a reset if its position is gone, and goes on from the end of the log", () => {
    const stage = new Stage();
    stage.write("ended", 1, 2, 3);
    stage.first = 2;
    stage.listen("a", { after: "1" });
    stage.pageRead();
    expect(stage.take("a")).toEqual([{ kind: "reset", position: "3" }]);
    stage.write("ended", 4);
    stage.poke();
    expect(stage.takeSessids("a")).toEqual([4]);
  });

  it("catches up from its own position if the hub's is gone", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.write("ended", 1, 2);
    stage.wait(minReadIntervalMs);
    stage.feed.poked(() => undefined, stage.nowMs);
    stage.readDone({ kind: "reset", position: "2" });
    stage.pageRead();
    expect(stage.takeSessids("a")).toEqual([1, 2]);
  });

  it("gets a checkpoint after 15 s in which nothing was for it", () => {
    const stage = new Stage();
    stage.listen("a", { kinds: new Set(["ended"]) });
    stage.write("began", 1, 2);
    stage.wait(checkpointMs - pollMs);
    expect(stage.take("a")).toEqual([]);
    stage.wait(2 * pollMs);
    expect(stage.take("a")).toEqual([{ kind: "checkpoint", position: "2" }]);
  });

  it("is ended if it takes nothing for 30 s, while the others are served", () => {
    const stage = new Stage();
    stage.listen("stuck");
    stage.listen("a");
    stage.write("ended", 1);
    stage.poke();
    expect(stage.takeSessids("a")).toEqual([1]);
    stage.write("ended", ...numbers(2, 1000));
    stage.poke();
    expect(stage.takeSessids("a")).toEqual(numbers(2, 1000));
    stage.wait(stalledMs - pollMs);
    expect(stage.ended).toEqual([]);
    stage.wait(2 * pollMs);
    expect(stage.ended).toEqual(["stuck"]);
    expect(stage.feed.listeners).toBe(1);
  });

  it("gets no more than a batch before it has taken it", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.write("ended", ...numbers(1, 3 * maxBatch));
    stage.poke();
    const [message, ...more] = stage.take("a");
    expect(message?.kind === "events" && message.events).toHaveLength(maxBatch);
    expect(more).toEqual([]);
  });

  it.each<readonly [string, SessionEvent["kind"], readonly string[]]>([
    ["ends", "ended", ["a"]],
    ["changes", "changed", ["a"]],
    ["begins again", "began", []],
  ])("on behalf of a session is ended when the session %s", (_, kind, ended) => {
    const stage = new Stage();
    stage.listen("a", { sessid: 7, kinds: new Set(["began"]) });
    stage.listen("b", { sessid: 8 });
    stage.listen("c");
    stage.write(kind, 7);
    stage.poke();
    expect(stage.ended).toEqual(ended);
  });

  it("is sent smaller batches, the more events all listeners together have not taken", () => {
    const stage = new Stage();
    stage.write("began", ...numbers(1, 10 * maxBatch));
    const crowd = numbers(1, 1000).map(String);
    for (const listener of crowd) stage.connect(listener, { after: "0" });
    // The first read began before most of them had come.
    stage.readDone();
    stage.readDone();
    for (const listener of crowd) stage.take(listener);
    const held = new Map<string, number>();
    const readPages = () => {
      for (let [read] = stage.pageReads; read !== undefined; [read] = stage.pageReads) {
        held.set(read.listener, read.limit);
        stage.pageRead();
      }
    };
    readPages();
    const sum = () => [...held.values()].reduce((before, events) => before + events);
    expect(held.size).toBe(crowd.length);
    expect(held.get("1")).toBe(maxBatch);
    expect(held.get("1000")).toBe(minBatch);
    expect(sum()).toBeLessThanOrEqual(64 * 1024);
    // Those who read get large batches again when the others are ended, because they do not.
    stage.take("1");
    readPages();
    expect(held.get("1")).toBe(minBatch);
    stage.wait(stalledMs + pollMs);
    expect(stage.ended).toContain("2");
    stage.connect("new", { after: "0" });
    stage.readDone();
    stage.take("new");
    readPages();
    expect(held.get("new")).toBe(maxBatch);
  });

  it("shares a batch of the ring with others, which counts once", () => {
    const stage = new Stage();
    const crowd = numbers(1, 1000).map(String);
    for (const listener of crowd) stage.connect(listener);
    stage.readDone();
    stage.readDone();
    for (const listener of crowd) stage.take(listener);
    stage.write("began", ...numbers(1, maxBatch));
    stage.poke();
    for (const listener of crowd) {
      expect(stage.take(listener)).toMatchObject([{ kind: "events", events: { length: maxBatch } }]);
    }
  });

  it("on behalf of a session is ended if the hub cannot know whether the session has ended", () => {
    const stage = new Stage();
    stage.listen("a", { sessid: 7 });
    stage.listen("b");
    stage.wait(minReadIntervalMs);
    stage.feed.poked(() => undefined, stage.nowMs);
    stage.readDone({ kind: "reset", position: "0" });
    expect(stage.ended).toEqual(["a"]);
  });
});

describe("the log", () => {
  it("is read every 500 ms while somebody listens, and the watch is prolonged once in 20 s", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.wait(20_000);
    expect(stage.reads).toHaveLength(1 + 20_000 / pollMs);
    expect(stage.reads.filter((read) => read.watchMs !== undefined)).toHaveLength(1);
    stage.wait(1000);
    expect(stage.reads.filter((read) => read.watchMs !== undefined)).toHaveLength(2);
  });

  it("is read at once when poked, and once more for a poke that comes during the read", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.wait(100);
    const done: string[] = [];
    stage.feed.poked(() => done.push("first"), stage.nowMs);
    expect(stage.reads).toHaveLength(2);
    stage.feed.poked(() => done.push("second"), stage.nowMs);
    stage.feed.poked(() => done.push("third"), stage.nowMs);
    stage.readDone();
    expect(done).toEqual(["first"]);
    stage.wait(minReadIntervalMs);
    expect(done).toEqual(["first", "second", "third"]);
    expect(stage.reads).toHaveLength(3);
  });

  it("is read no more than 50 times a second, however often it is poked", () => {
    const stage = new Stage();
    stage.listen("a");
    const before = stage.reads.length;
    for (let ms = 0; ms < 1000; ms++) {
      stage.feed.poked(() => undefined, stage.nowMs);
      stage.wait(1);
    }
    expect(stage.reads.length - before).toBeLessThanOrEqual(1000 / minReadIntervalMs);
  });

  it("is read again after it could not be read, and told of the watch again", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.readDone({ kind: "unavailable" });
    expect(stage.take("a")).toEqual([]);
    stage.wait(pollMs - 1);
    expect(stage.reads).toHaveLength(1);
    stage.wait(1);
    expect(stage.reads.at(-1)).toEqual({ after: null, watchMs });
    expect(stage.take("a")).toEqual([{ kind: "checkpoint", position: "0" }]);
  });

  it("is read for eight listeners at once that are behind, and for the others in turn", () => {
    const stage = new Stage();
    stage.write("ended", ...numbers(1, 20));
    stage.listen("a");
    const late = numbers(1, 2 * maxPageReads).map((number) => `late ${number}`);
    for (const listener of late) stage.listen(listener, { after: "5" });
    expect(stage.pageReads).toHaveLength(maxPageReads);
    // One that leaves while its page is read makes room as well.
    stage.feed.gone("late 1");
    while (stage.pageReads.length > 0) {
      expect(stage.pageReads.length).toBeLessThanOrEqual(maxPageReads);
      stage.pageRead();
    }
    for (const listener of late.slice(1)) expect(stage.takeSessids(listener)).toEqual(numbers(6, 20));
  });

  it("is not read, and no time is waited for, while nobody listens", () => {
    const stage = new Stage();
    let done = 0;
    stage.feed.poked(() => done++, stage.nowMs);
    expect([done, stage.reads.length, stage.feed.deadlineMs]).toEqual([1, 0, undefined]);
    stage.listen("a");
    stage.wait(100);
    stage.feed.poked(() => done++, stage.nowMs);
    stage.feed.poked(() => done++, stage.nowMs);
    // The last one leaves during a read.
    stage.feed.gone("a");
    expect(done).toBe(3);
    stage.readDone({ kind: "events", events: [], position: "0", more: true });
    const reads = stage.reads.length;
    stage.feed.poked(() => done++, stage.nowMs);
    expect([done, stage.reads.length, stage.feed.deadlineMs]).toEqual([4, reads, undefined]);
  });

  it("is read from its end when somebody listens again", () => {
    const stage = new Stage();
    stage.listen("a");
    stage.feed.gone("a");
    stage.write("ended", ...numbers(1, 1000));
    stage.listen("b");
    expect(stage.reads.at(-1)?.after).toBeNull();
    expect(stage.takeSessids("b")).toEqual([]);
  });
});

describe("a feed in random scenarios", () => {
  it("sends each listener exactly what follows its position, or tells of a reset", () => {
    const sum: SimulationCounts = { events: 0, resets: 0, checkpoints: 0, reconnects: 0, stalled: 0, pages: 0 };
    for (let seed = 1; seed <= SCENARIOS; seed++) {
      const counts = simulateFeed(seed);
      for (const name of Object.keys(sum) as (keyof SimulationCounts)[]) sum[name] += counts[name];
    }
    for (const count of Object.values(sum)) expect(count).toBeGreaterThan(SCENARIOS / 4);
  });
});
