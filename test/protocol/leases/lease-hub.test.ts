import { describe, expect, test } from "vitest";
import type { Reach } from "../../../protocol/leases/bridge-acks.ts";
import {
  DEFAULT_HUB_LIMITS,
  type HubEvent,
  type HubLimits,
  type HubPage,
  type HubRead,
  LeaseHub,
} from "../../../protocol/leases/lease-hub.ts";
import { decodeHubMessage, encodeLeaseMessage, type LeaseMessage } from "../../../protocol/leases/lease-messages.ts";

const BOUND_MS = 1000;

/** A hub, its log and its bridges, which are named by letters. */
class Stage {
  nowMs = 0;
  readonly hub: LeaseHub<string>;
  readonly reads: HubRead[] = [];
  /** What was sent to each bridge, and "close <code>". */
  readonly sent = new Map<string, (LeaseMessage | string)[]>();
  readonly log: HubEvent[] = [];
  #renewals = 0;

  constructor(limits: Partial<HubLimits> = {}, boundMs = BOUND_MS) {
    const to = (bridge: string, what: LeaseMessage | string) =>
      this.sent.set(bridge, [...(this.sent.get(bridge) ?? []), what]);
    this.hub = new LeaseHub<string>(
      boundMs,
      {
        send: (bridge, frame) => to(bridge, decodeHubMessage(frame)),
        close: (bridge, code) => to(bridge, `close ${code}`),
        read: (read) => this.reads.push(read),
      },
      { ...DEFAULT_HUB_LIMITS, ...limits },
    );
  }

  connect(...bridges: string[]): void {
    for (const bridge of bridges) this.hub.connected(bridge, true);
  }

  renew(bridge: string): number {
    this.#renewals += 1;
    this.receive(bridge, { kind: "renew", renewal: this.#renewals });
    return this.#renewals;
  }

  receive(bridge: string, message: LeaseMessage): void {
    this.hub.received(bridge, encodeLeaseMessage(message), this.nowMs);
  }

  /** The read is done: it has what the log has after the position. */
  readDone(page?: HubPage): void {
    const after = this.reads.at(-1)?.after ?? null;
    const events = after === null ? [] : this.log.slice(Number(after));
    this.hub.readDone(page ?? { kind: "events", events, position: `${this.log.length}`, more: false }, this.nowMs);
  }

  /** Gives leases to bridges that have connected. */
  lease(...bridges: string[]): void {
    for (const bridge of bridges) this.renew(bridge);
    // The first began when the first renewal came.
    if (bridges.length > 1) this.#serveTheRest(bridges[0] ?? "");
    else this.readDone();
    for (const bridge of bridges) expect(this.take(bridge).at(-1)).toMatchObject({ kind: "granted" });
  }

  end(...sessids: number[]): void {
    for (const sessid of sessids) this.log.push({ kind: "ended", sessid });
  }

  acknowledged(): { result: boolean | undefined; reach: Reach | null | undefined } {
    const call: ReturnType<Stage["acknowledged"]> = { result: undefined, reach: undefined };
    this.hub.acknowledged((reach) => {
      call.result = reach !== null;
      call.reach = reach;
    }, this.nowMs);
    return call;
  }

  take(bridge: string): (LeaseMessage | string)[] {
    const taken = this.sent.get(bridge) ?? [];
    this.sent.set(bridge, []);
    return taken;
  }

  #serveTheRest(bridge: string): void {
    this.readDone();
    this.nowMs += 250;
    this.renew(bridge);
    this.readDone();
  }
}

describe("a hub", () => {
  test("says Welcome with the bound, and does not read while nobody renews", () => {
    const stage = new Stage({}, 500);
    stage.connect("a");
    expect(stage.take("a")).toEqual([{ kind: "welcome", boundMs: 500 }]);
    expect(stage.reads).toEqual([]);
  });

  test("grants a renewal after a read that began when it had come", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.take("a");
    stage.take("b");
    const first = stage.renew("a");
    expect(stage.reads).toEqual([{ after: null, leaseMs: BOUND_MS }]);
    const during = stage.renew("b");
    expect(stage.take("a")).toEqual([]);
    stage.readDone();
    expect(stage.take("a")).toEqual([{ kind: "granted", renewal: first }]);
    expect(stage.take("b")).toEqual([]);
    stage.nowMs = 250;
    const second = stage.renew("a");
    expect(stage.reads).toHaveLength(2);
    stage.readDone();
    expect(stage.take("a")).toEqual([{ kind: "granted", renewal: second }]);
    expect(stage.take("b")).toEqual([{ kind: "granted", renewal: during }]);
  });

  test("sends all changes before the grant, each session once, and nothing of what began", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a");
    stage.take("b");
    stage.log.push({ kind: "began", sessid: 1 }, { kind: "changed", sessid: 2 }, { kind: "ended", sessid: 2 });
    stage.end(3);
    stage.nowMs = 300;
    const renewal = stage.renew("a");
    stage.readDone();
    expect(stage.take("a")).toEqual([
      { kind: "changes", number: 1, sessids: [2, 3] },
      { kind: "granted", renewal },
    ]);
    expect(stage.take("b")).toEqual([{ kind: "changes", number: 1, sessids: [2, 3] }]);
  });

  test("reads at most every 250 ms for a bridge that renews all the time, and grants the newest renewal alone", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.take("a");
    for (; stage.nowMs < 1000; stage.nowMs += 1) {
      const { length } = stage.reads;
      stage.renew("a");
      if (stage.reads.length > length) stage.readDone();
    }
    expect(stage.reads.length).toBeLessThanOrEqual(4);
    expect(stage.take("a")).toHaveLength(stage.reads.length);
    stage.nowMs = 2000;
    stage.renew("a");
    for (let more = 0; more < 10; more++) stage.renew("a");
    stage.readDone();
    stage.nowMs = 2250;
    const newest = stage.renew("a");
    stage.readDone();
    expect(stage.take("a").at(-1)).toEqual({ kind: "granted", renewal: newest });
    expect(stage.reads.length).toBeLessThanOrEqual(6);
  });

  test("closes the connection of a bridge that floods it with renewals, and grants another one's", () => {
    const stage = new Stage({ maxRenewals: 3 });
    stage.connect("a", "b");
    stage.lease("a", "b");
    stage.nowMs += 100;
    for (let renewals = 0; renewals < 3; renewals++) stage.renew("a");
    expect(stage.take("a")).toEqual([]);
    stage.renew("a");
    expect(stage.take("a")).toEqual(["close 1008"]);
    stage.nowMs += 200;
    const renewal = stage.renew("b");
    stage.readDone();
    expect(stage.take("b")).toEqual([{ kind: "granted", renewal }]);
  });

  test("reads more often if the bound is small: leases would run out between the reads", () => {
    const stage = new Stage({}, 200);
    stage.connect("a");
    stage.lease("a");
    stage.nowMs = 49;
    stage.renew("a");
    expect(stage.reads).toHaveLength(1);
    stage.nowMs = 50;
    stage.renew("a");
    expect(stage.reads).toHaveLength(2);
  });

  test("goes on reading when its clock was set back", () => {
    const stage = new Stage();
    stage.nowMs = 1e6;
    stage.connect("a");
    stage.lease("a");
    stage.nowMs = 0;
    stage.renew("a");
    expect(stage.reads).toHaveLength(2);
  });

  test("grants nothing after a read that failed", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.take("a");
    stage.renew("a");
    stage.readDone({ kind: "unavailable" });
    expect(stage.take("a")).toEqual([]);
    stage.nowMs = 250;
    stage.renew("a");
    stage.readDone();
    expect(stage.take("a")).toMatchObject([{ kind: "granted" }]);
  });

  test("grants nothing on a connection that replaced the renewal's", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.renew("a");
    stage.hub.disconnected("a", stage.nowMs);
    stage.connect("a");
    stage.take("a");
    stage.readDone();
    expect(stage.take("a")).toEqual([]);
  });

  test("reads from now on when bridges come back after all had gone", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.hub.disconnected("a", stage.nowMs);
    stage.end(1);
    stage.nowMs = 5000;
    stage.connect("b");
    stage.renew("b");
    expect(stage.reads.at(-1)?.after).toBeNull();
  });

  test("throws if a read is done that it did not begin", () => {
    expect(() => new Stage().readDone()).toThrow("no read");
  });
});

describe("acknowledged", () => {
  test("reads at once, for no lease, and is true when every bridge has acked", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a", "b");
    stage.end(7);
    const call = stage.acknowledged();
    expect(stage.reads.at(-1)).toEqual({ after: "0", leaseMs: null });
    stage.readDone();
    expect(call.result).toBeUndefined();
    stage.receive("a", { kind: "ack", number: 1 });
    expect(call.result).toBeUndefined();
    stage.receive("b", { kind: "ack", number: 1 });
    expect(call.result).toBe(true);
    expect(stage.hub.deadlineMs).toBeUndefined();
  });

  test("waits for a read that begins after the call", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    const first = stage.acknowledged();
    stage.end(7);
    const second = stage.acknowledged();
    stage.readDone({ kind: "events", events: [], position: "0", more: false });
    expect(first.result).toBe(true);
    expect(second.result).toBeUndefined();
    stage.readDone();
    expect(stage.take("a")).toEqual([{ kind: "changes", number: 1, sessids: [7] }]);
    stage.receive("a", { kind: "ack", number: 1 });
    expect(second.result).toBe(true);
  });

  test("counts changes that an earlier read has pushed", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.end(7);
    stage.nowMs = 300;
    stage.renew("a");
    stage.readDone();
    const call = stage.acknowledged();
    stage.readDone();
    expect(call.result).toBeUndefined();
    stage.receive("a", { kind: "ack", number: 1 });
    expect(call.result).toBe(true);
  });

  test("is true without a read when no bridge is connected, and none has a lease", () => {
    const stage = new Stage();
    expect(stage.acknowledged().result).toBe(true);
    expect(stage.reads).toEqual([]);
  });

  test("does not wait for a bridge without a lease", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a");
    stage.end(7);
    const call = stage.acknowledged();
    stage.readDone();
    stage.receive("a", { kind: "ack", number: 1 });
    expect(call.result).toBe(true);
  });

  test("waits once for the lease of a bridge that has gone, and then not any more", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a");
    stage.nowMs = 400;
    stage.hub.disconnected("a", stage.nowMs);
    const call = stage.acknowledged();
    stage.readDone();
    expect(stage.hub.deadlineMs).toBe(BOUND_MS);
    stage.nowMs = BOUND_MS - 1;
    stage.hub.tick(stage.nowMs);
    expect(call.result).toBeUndefined();
    stage.nowMs = BOUND_MS;
    stage.hub.tick(stage.nowMs);
    expect(call.result).toBe(true);
    const later = stage.acknowledged();
    stage.readDone();
    expect(later.result).toBe(true);
  });

  test("waits at most until the lease ends that a bridge had when it did not ack", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.end(7);
    const call = stage.acknowledged();
    stage.readDone();
    stage.nowMs = 300;
    stage.renew("a");
    stage.readDone();
    expect(stage.take("a").at(-1)).toMatchObject({ kind: "granted" });
    // With the longer lease it got the change first.
    stage.nowMs = BOUND_MS;
    stage.hub.tick(stage.nowMs);
    expect(call.result).toBe(true);
  });

  test("waits for the bridges that have not acked, and not for the lease of one that has", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a");
    stage.nowMs = 300;
    stage.renew("b");
    stage.readDone();
    stage.end(7);
    const call = stage.acknowledged();
    stage.readDone();
    expect(stage.hub.deadlineMs).toBe(300 + BOUND_MS);
    stage.receive("b", { kind: "ack", number: 1 });
    expect(stage.hub.deadlineMs).toBe(BOUND_MS);
    stage.nowMs = BOUND_MS;
    stage.hub.tick(stage.nowMs);
    expect(call.result).toBe(true);
  });

  test("is true for all calls at once when one ack is for the changes of all", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    const calls = [1, 2, 3].map((sessid) => {
      stage.end(sessid);
      const call = stage.acknowledged();
      stage.readDone();
      return call;
    });
    stage.receive("a", { kind: "ack", number: 2 });
    expect(calls.map(({ result }) => result)).toEqual([true, true, undefined]);
    stage.receive("a", { kind: "ack", number: 3 });
    expect(calls[2]?.result).toBe(true);
  });

  test("is false if the log cannot be read", () => {
    const stage = new Stage();
    stage.connect("a");
    const call = stage.acknowledged();
    stage.readDone({ kind: "unavailable" });
    expect(call.result).toBe(false);
  });

  test("is false for one call more than may wait, and true for the others", () => {
    const stage = new Stage({ maxWaiters: 2 });
    stage.connect("a");
    const calls = [stage.acknowledged(), stage.acknowledged(), stage.acknowledged()];
    stage.readDone();
    stage.readDone();
    expect(calls.map(({ result }) => result)).toEqual([true, true, false]);
    const next = stage.acknowledged();
    stage.readDone();
    expect(next.result).toBe(true);
  });
});

describe("how far a change has come", () => {
  test("is told with the bridges that could answer from memory, all of which have acked, and the position", () => {
    const stage = new Stage();
    stage.connect("a", "b", "without a lease");
    stage.lease("a", "b");
    stage.end(1);
    const call = stage.acknowledged();
    stage.readDone();
    for (const bridge of ["a", "b"]) stage.receive(bridge, { kind: "ack", number: 1 });
    expect(call.reach).toEqual({ bridges: 2, acknowledged: 2, position: "1" });
    const later = stage.acknowledged();
    stage.readDone({ kind: "events", events: [], position: "1", more: false });
    expect(later.reach).toEqual({ bridges: 2, acknowledged: 2, position: "1" });
  });

  test("does not count as acked a bridge whose lease ran out before it acked", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a", "b");
    stage.end(1);
    const call = stage.acknowledged();
    stage.readDone();
    stage.receive("a", { kind: "ack", number: 1 });
    stage.nowMs += BOUND_MS;
    stage.hub.tick(stage.nowMs);
    expect(call.reach).toEqual({ bridges: 2, acknowledged: 1, position: "1" });
  });

  test("has no position when no bridge is connected, as nothing was read", () => {
    expect(new Stage().acknowledged().reach).toEqual({ bridges: 0, acknowledged: 0, position: null });
  });
});

describe("the status of bridges", () => {
  const report = { kind: "status", kept: 3, answered: 10, fromMemory: 9 } as const;

  function requestStatus({ hub }: Stage): { isReported: boolean } {
    const call = { isReported: false };
    hub.requestStatus(() => {
      call.isReported = true;
    });
    return call;
  }

  test("is asked of the bridges that report, and of no other", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.hub.connected("old", false);
    for (const bridge of ["a", "b", "old"]) stage.take(bridge);
    const call = requestStatus(stage);
    expect([stage.take("a"), stage.take("b"), stage.take("old")]).toEqual([
      [{ kind: "statusRequest" }],
      [{ kind: "statusRequest" }],
      [],
    ]);
    stage.receive("a", report);
    expect(call.isReported).toBe(false);
    stage.receive("b", { ...report, kept: 4 });
    expect(call.isReported).toBe(true);
    expect(stage.hub.statusOf("a", stage.nowMs)).toEqual({ report, leaseAgeMs: null });
    expect(stage.hub.statusOf("b", stage.nowMs).report?.kept).toBe(4);
    expect(stage.hub.statusOf("old", stage.nowMs)).toEqual({ report: null, leaseAgeMs: null });
  });

  test("is known at once when no bridge reports, and when the last that was asked has gone", () => {
    const stage = new Stage();
    expect(requestStatus(stage).isReported).toBe(true);
    stage.connect("a");
    const call = requestStatus(stage);
    stage.hub.disconnected("a", stage.nowMs);
    expect(call.isReported).toBe(true);
  });

  test("is forgotten when it is asked for again, and a bridge that does not answer is asked once", () => {
    const stage = new Stage();
    stage.connect("a", "silent");
    requestStatus(stage);
    stage.receive("a", report);
    for (const bridge of ["a", "silent"]) stage.take(bridge);
    for (let times = 0; times < 100; times++) requestStatus(stage);
    expect(stage.hub.statusOf("a", stage.nowMs).report).toBeNull();
    expect(stage.take("a")).toHaveLength(1);
    expect(stage.take("silent")).toHaveLength(0);
    const call = requestStatus(stage);
    stage.receive("a", report);
    stage.receive("silent", report);
    expect(call.isReported).toBe(true);
    expect(stage.hub.statusOf("silent", stage.nowMs).report).toEqual(report);
  });

  test("tells how old the newest lease is, while it runs", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    expect(stage.hub.statusOf("a", stage.nowMs + 300).leaseAgeMs).toBe(300);
    expect(stage.hub.statusOf("a", stage.nowMs + BOUND_MS).leaseAgeMs).toBeNull();
    expect(stage.hub.statusOf("nobody", stage.nowMs)).toEqual({ report: null, leaseAgeMs: null });
  });

  test("that nobody asked for closes the connection, as does a second one", () => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.receive("a", report);
    expect(stage.take("a").at(-1)).toBe("close 1008");
    requestStatus(stage);
    stage.receive("b", report);
    stage.receive("b", report);
    expect(stage.take("b").at(-1)).toBe("close 1008");
    expect(stage.hub.bridges).toBe(0);
  });
});

describe("what a hub pushes", () => {
  test("is split into messages of 4,096 sessids", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.end(...Array.from({ length: 10_000 }, (_, index) => index + 1));
    stage.acknowledged();
    stage.readDone();
    const lengths = stage.take("a").map((message) => (message as { sessids: readonly number[] }).sessids.length);
    expect(lengths).toEqual([4096, 4096, 1808]);
  });

  test("comes page by page, and the grant after the last", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.nowMs = 300;
    stage.renew("a");
    stage.readDone({ kind: "events", events: [{ kind: "ended", sessid: 1 }], position: "5", more: true });
    expect(stage.reads.at(-1)).toEqual({ after: "5", leaseMs: BOUND_MS });
    stage.readDone({ kind: "events", events: [{ kind: "ended", sessid: 2 }], position: "6", more: false });
    expect(stage.take("a")).toMatchObject([{ sessids: [1] }, { sessids: [2] }, { kind: "granted" }]);
  });

  test("is a Reset beyond 10,000 sessids, read from the end of the log", () => {
    const stage = new Stage({ maxChanges: 3 });
    stage.connect("a");
    stage.lease("a");
    const call = stage.acknowledged();
    const events = [1, 2].map((sessid) => ({ kind: "ended" as const, sessid }));
    stage.readDone({ kind: "events", events, position: "2", more: true });
    stage.readDone({ kind: "events", events, position: "4", more: true });
    expect(stage.reads.at(-1)?.after).toBeNull();
    stage.readDone({ kind: "events", events: [], position: "99", more: false });
    expect(stage.take("a")).toEqual([
      { kind: "changes", number: 1, sessids: [1, 2] },
      { kind: "reset", number: 2 },
    ]);
    stage.receive("a", { kind: "ack", number: 2 });
    expect(call.result).toBe(true);
    stage.acknowledged();
    expect(stage.reads.at(-1)?.after).toBe("99");
  });

  test("is a Reset if the position is not in the log any more", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.nowMs = 300;
    stage.renew("a");
    stage.readDone({ kind: "reset", position: "x" });
    expect(stage.take("a")).toMatchObject([{ kind: "reset", number: 1 }, { kind: "granted" }]);
  });

  test("keeps what was not pushed if the read from the end of the log fails", () => {
    const stage = new Stage({ maxChanges: 1 });
    stage.connect("a");
    stage.lease("a");
    stage.end(1, 2);
    stage.acknowledged();
    stage.readDone();
    stage.readDone({ kind: "unavailable" });
    stage.acknowledged();
    expect(stage.reads.at(-1)?.after).toBe("0");
  });
});

describe("a bridge that", () => {
  test.each([
    ["sends garbage", Uint8Array.of(9), 1002],
    ["sends half a message", Uint8Array.of(5, 1), 1002],
    ["sends a message of a hub", encodeLeaseMessage({ kind: "reset", number: 1 }), 1002],
    ["acks what was never sent", encodeLeaseMessage({ kind: "ack", number: 1 }), 1002],
    ["sends text", "hello", 1003],
  ])("%s is closed, and nobody else notices", (_, frame, code) => {
    const stage = new Stage();
    stage.connect("a", "b");
    stage.lease("a", "b");
    stage.hub.received("a", frame, stage.nowMs);
    expect(stage.take("a")).toEqual([`close ${code}`]);
    expect(stage.hub.bridges).toBe(1);
    stage.hub.received("a", frame, stage.nowMs);
    stage.hub.disconnected("a", stage.nowMs);
    expect(stage.take("a")).toEqual([]);
    stage.nowMs += 250;
    stage.renew("b");
    stage.readDone();
    expect(stage.take("b")).toMatchObject([{ kind: "granted" }]);
  });

  test("acks a number twice is closed", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.end(1);
    stage.acknowledged();
    stage.readDone();
    stage.receive("a", { kind: "ack", number: 1 });
    stage.receive("a", { kind: "ack", number: 1 });
    expect(stage.take("a").at(-1)).toBe("close 1002");
  });

  test("does not ack gets no lease after a bound, until it acks", () => {
    const stage = new Stage();
    stage.connect("a");
    stage.lease("a");
    stage.end(1);
    stage.acknowledged();
    stage.readDone();
    stage.take("a");
    for (stage.nowMs = 250; stage.nowMs <= BOUND_MS; stage.nowMs += 250) {
      stage.renew("a");
      stage.readDone();
      expect(stage.take("a")).toMatchObject([{ kind: "granted" }]);
    }
    stage.renew("a");
    stage.readDone();
    expect(stage.take("a")).toEqual([]);
    stage.receive("a", { kind: "ack", number: 1 });
    stage.nowMs += 250;
    stage.renew("a");
    stage.readDone();
    expect(stage.take("a")).toMatchObject([{ kind: "granted" }]);
  });

  test.each([
    ["messages", { maxUnackedMessages: 3 }],
    ["bytes", { maxUnackedBytes: 3 * (1 + 4 + 4) }],
  ])("leaves too many %s unacked is closed, and its lease counts to its end", (_, limits) => {
    const stage = new Stage(limits);
    stage.connect("a", "b");
    stage.lease("a", "b");
    const leasedMs = stage.nowMs + BOUND_MS;
    for (let sessid = 1; sessid <= 4; sessid++) {
      stage.end(sessid);
      stage.acknowledged();
      stage.readDone();
      stage.receive("b", { kind: "ack", number: sessid });
    }
    expect(stage.take("a").at(-1)).toBe("close 1013");
    expect(stage.hub.bridges).toBe(1);
    const call = stage.acknowledged();
    stage.readDone();
    expect(stage.hub.deadlineMs).toBe(leasedMs);
    stage.nowMs = leasedMs;
    stage.hub.tick(stage.nowMs);
    expect(call.result).toBe(true);
  });

  test("renews for ever and reads nothing is sent no more than some hundred messages", () => {
    const stage = new Stage();
    stage.connect("a");
    for (let renewal = 0; renewal < 1000; renewal++) {
      stage.nowMs += 333;
      const { length } = stage.reads;
      stage.renew("a");
      if (stage.reads.length > length) stage.readDone();
    }
    const sent = stage.take("a");
    expect(sent).toContainEqual({ kind: "changes", number: 1, sessids: [] });
    expect(sent.length).toBeLessThan(300);
  });

  test("acks the empty message gets its leases on and on", () => {
    const stage = new Stage();
    stage.connect("a");
    for (let renewal = 0; renewal < 1000; renewal++) {
      stage.nowMs += 333;
      stage.take("a");
      stage.renew("a");
      stage.readDone();
      const sent = stage.take("a");
      expect(sent.at(-1)).toMatchObject({ kind: "granted" });
      for (const message of sent) {
        if (typeof message !== "string" && message.kind === "changes") {
          stage.receive("a", { kind: "ack", number: message.number });
        }
      }
    }
  });
});
