import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ServiceRequest } from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { WatchNotice } from "../../../protocol/watch-packets.ts";
import { PacketBytes } from "../../support/packets/packet-bytes.ts";
import { type GamePeer, requestBytes, watchBytes } from "../../support/peers/game-peer.ts";
import { gate } from "../../support/peers/packet-edge.ts";
import { TestBridge } from "../../support/peers/test-bridge.ts";
import { until } from "../../support/until.ts";

const check = (sessid: number): ServiceRequest => ({ kind: "check", sessid });
const secret = new Uint8Array(16).fill(7);

let stack: TestBridge;
beforeEach(async () => {
  stack = await TestBridge.open();
});
afterEach(() => stack.close());

/** What a peer was told, as one word each. */
function words(notices: readonly WatchNotice[]): string[] {
  return notices.map((notice) => (notice.kind === "ended" ? String(notice.sessid) : notice.kind));
}

/** The kinds of all packets that a peer got, in order; of an end its sessid. */
function order(peer: GamePeer): string[] {
  return peer.packets.map((packet) => (packet.kind === "ended" ? String(packet.sessid) : packet.kind));
}

async function openWithLease(): Promise<void> {
  await stack.close();
  stack = await TestBridge.openWithLease();
}

describe("a watch of all sessions", () => {
  it("is told each end with its reason, time, user and position, in the order of the log", async () => {
    const peer = await stack.connect();
    expect(await peer.watch("all")).toEqual({ kind: "watch", status: Status.Ok, position: "p0" });
    stack.edge.events.end(7, "kim");
    stack.edge.events.end(-8, null, "expired");
    stack.edge.events.end(9, "Zoë", "evicted");
    expect(await peer.told(3)).toEqual([
      { kind: "ended", reason: "deleted", sessid: 7, at: 1_700_000_000_000, position: "p1", user: "kim" },
      { kind: "ended", reason: "expired", sessid: -8, at: 1_700_000_000_001, position: "p2", user: null },
      { kind: "ended", reason: "evicted", sessid: 9, at: 1_700_000_000_002, position: "p3", user: "Zoë" },
    ]);
    expect(await stack.metric('artoria_bridge_watch_notices_total{kind="ended"}')).toBe(3);
    expect(await stack.metric("artoria_bridge_watch_events_total")).toBe(3);
    expect(await stack.metric('artoria_bridge_packets_total{type="watch",status="Ok"}')).toBe(1);
  });

  it("ends with scope 0, and with its connection", async () => {
    const [one, other] = [await stack.connect(), await stack.connect()];
    await Promise.all([one.watch("all"), other.watch("all")]);
    expect(await one.watch("none")).toEqual({ kind: "watch", status: Status.Ok, position: null });
    stack.edge.events.end(7);
    await other.told(1);
    one.send(check(7));
    await one.received(3);
    expect(one.notices).toEqual([]);
    other.close();
    await until(async () => (await stack.metric("artoria_bridge_watchers")) === 0);
  });

  it("finds the stream open when its server connects again, and catches up from the bridge's memory", async () => {
    const first = await stack.connect();
    await first.watch("all");
    stack.edge.events.end(7);
    await first.told(1);
    first.close();
    await until(async () => (await stack.metric("artoria_bridge_watchers")) === 0);
    stack.edge.events.end(8);
    stack.edge.events.end(9);
    const second = await stack.connect();
    expect(await second.watch("all", "p1")).toMatchObject({ status: Status.Ok, position: "p1" });
    expect(words(await second.told(2))).toEqual(["8", "9"]);
    expect(stack.edge.events.streams).toHaveLength(1);
    expect(stack.edge.events.pages).toEqual([]);
    expect(await stack.metric('artoria_bridge_watch_catch_ups_total{source="memory"}')).toBe(1);
  });
});

describe("a watch of the known sessions", () => {
  it("is told of those that its connection registered, issued or found Ok, and of no others", async () => {
    const { users } = stack.edge.sessions;
    for (const sessid of [1, 2, 3, 4, 9]) users.set(sessid, "kim");
    const peer = await stack.connect();
    await peer.watch("known");
    const token = makeToken(3, secret);
    const asked: readonly ServiceRequest[] = [
      check(1),
      { kind: "checkAccess", sessid: 2, resource: "open:x" },
      { kind: "identify", token },
      { kind: "checkAccess", sessid: 4, resource: "shut" },
      { kind: "register", sessid: 5, ip: null, user: "kim" },
      { kind: "issue", ip: null, user: "kim" },
      { kind: "register", sessid: 9, ip: null, user: "lee" },
      check(77),
      { kind: "count" },
    ];
    peer.send(...asked);
    const responses = await peer.received(1 + asked.length);
    const issued = responses.find(({ kind }) => kind === "issue");
    const ended = [4, 77, 9, 1, 2, 3, 5, issued?.kind === "issue" ? issued.sessid : 0, 6];
    for (const sessid of ended) stack.edge.events.end(sessid);
    expect(words(await peer.told(5))).toEqual(["1", "2", "3", "5", "1000000"]);
    peer.send(check(1));
    await peer.received(2 + asked.length);
    expect(peer.notices).toHaveLength(5);
  });

  it("counts what its connection found Ok before it asked to watch", async () => {
    stack.edge.sessions.users.set(7, "kim").set(8, "lee");
    const peer = await stack.connect();
    peer.send(check(7));
    await peer.received(1);
    await peer.watch("known");
    stack.edge.events.end(8);
    stack.edge.events.end(7);
    expect(words(await peer.told(1))).toEqual(["7"]);
  });

  it("is told of all ends if the connection had sent more requests before than it remembers", async () => {
    const peer = await stack.connect();
    peer.send(...Array(1_001).fill(check(7)));
    await peer.received(1_001);
    await peer.watch("known");
    stack.edge.events.end(8);
    expect(words(await peer.told(1))).toEqual(["8"]);
  });

  it("is told of all ends when the connection knows more than BRIDGE_MAX_KNOWN_SESSIONS", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_MAX_KNOWN_SESSIONS: "2" });
    const peer = await stack.connect();
    await peer.watch("known");
    for (const [index, sessid] of [1, 2, 3].entries()) {
      stack.edge.events.end(100 + sessid);
      stack.edge.sessions.users.set(sessid, "kim");
      peer.send(check(sessid));
      await peer.received(2 + index);
    }
    stack.edge.events.end(200);
    await until(() => words(peer.notices).includes("200"));
    expect(words(peer.notices)).not.toContain("101");
  });

  it("is told of an end that passed while the request was in flight, behind its response", async () => {
    stack.edge.sessions.users.set(7, "kim");
    const peer = await stack.connect();
    const witness = await stack.connect();
    await Promise.all([peer.watch("known"), witness.watch("all")]);
    const { fault, open } = gate();
    stack.edge.faults.push(fault);
    peer.send(check(7));
    await until(() => stack.edge.batches.length === 1);
    stack.edge.events.end(7);
    stack.edge.events.end(8);
    await witness.told(2);
    open();
    await peer.told(1);
    expect(order(peer)).toEqual(["watch", "check", "7"]);
  });

  it("is told between two responses, though the connection has always requests in flight", async () => {
    stack.edge.sessions.users.set(7, "kim").set(8, "kim");
    const [peer, witness] = [await stack.connect(), await stack.connect()];
    await Promise.all([peer.watch("known"), witness.watch("all")]);
    const [first, second] = [gate(), gate()];
    stack.edge.faults.push(first.fault, second.fault);
    peer.send(check(7));
    await until(() => stack.edge.batches.length === 1);
    peer.send(check(8));
    stack.edge.events.end(7);
    await witness.told(1);
    first.open();
    await until(() => stack.edge.batches.length === 2);
    await peer.told(1);
    second.open();
    await peer.received(3);
    expect(order(peer)).toEqual(["watch", "check", "7", "check"]);
  });

  it("learns from what memory answers", async () => {
    await openWithLease();
    stack.edge.sessions.users.set(7, "kim");
    const other = await stack.connect();
    other.send(check(7));
    await other.received(1);
    const peer = await stack.connect();
    await peer.watch("known");
    peer.send(check(7));
    await peer.received(2);
    expect(stack.edge.batches).toHaveLength(1);
    stack.edge.events.end(7);
    expect(words(await peer.told(1))).toEqual(["7"]);
  });
});

describe("what a server is told", () => {
  it("the bridge has forgotten before, so that no check is Ok by the old state", async () => {
    await openWithLease();
    stack.edge.sessions.users.set(7, "kim");
    const peer = await stack.connect();
    peer.send(check(7), check(7));
    await peer.received(2);
    await peer.watch("all");
    stack.edge.sessions.users.delete(7);
    stack.edge.events.end(7);
    await peer.told(1);
    peer.send(check(7));
    expect((await peer.received(4)).at(-1)).toEqual({ kind: "check", status: Status.NotFound });
  });

  it("the bridge has forgotten before, also if a page of the log was quicker than the stream", async () => {
    await openWithLease();
    const { events, sessions } = stack.edge;
    sessions.users.set(7, "kim");
    events.end(1);
    const peer = await stack.connect();
    peer.send(check(7), check(7));
    await peer.received(2);
    events.pushes = false;
    events.pageFaults.push(
      () => "respond",
      () => {
        sessions.users.delete(7);
        events.end(7);
        return "respond";
      },
    );
    await peer.watch("all", "p0");
    expect(words(await peer.told(2))).toEqual(["1", "7"]);
    peer.send(check(7));
    expect((await peer.received(4)).at(-1)).toEqual({ kind: "check", status: Status.NotFound });
  });

  it("is not undone by a check that was under way", async () => {
    await openWithLease();
    stack.edge.sessions.users.set(7, "kim");
    const [peer, slow] = [await stack.connect(), await stack.connect()];
    await peer.watch("all");
    const { promise, resolve } = Promise.withResolvers<void>();
    stack.edge.faults.push(async (batch, response): Promise<"done"> => {
      const responses = batch.responses();
      await promise;
      response.end(responses);
      return "done";
    });
    slow.send(check(7));
    await until(() => stack.edge.batches.length === 1);
    stack.edge.sessions.users.delete(7);
    stack.edge.events.end(7);
    await peer.told(1);
    resolve();
    await slow.received(1);
    peer.send(check(7));
    expect((await peer.received(2)).at(-1)).toEqual({ kind: "check", status: Status.NotFound });
  });

  it("is a reset where the edge has lost ends, and memory is empty then", async () => {
    await openWithLease();
    stack.edge.sessions.users.set(7, "kim");
    const peer = await stack.connect();
    peer.send(check(7));
    await peer.received(1);
    await peer.watch("known");
    stack.edge.sessions.users.delete(7);
    stack.edge.events.reset("p0");
    const [reset] = await peer.told(1);
    expect(reset).toMatchObject({ kind: "reset", position: "p0" });
    peer.send(check(7));
    expect((await peer.received(3)).at(-1)).toEqual({ kind: "check", status: Status.NotFound });
    expect(await stack.metric("artoria_bridge_watch_resets_total")).toBe(1);
    expect(await stack.metric('artoria_bridge_watch_notices_total{kind="reset"}')).toBe(1);
  });
});

describe("a WatchRequest", () => {
  it("has its place in the order of the responses, in the middle of a chunk too", async () => {
    await openWithLease();
    stack.edge.sessions.users.set(7, "kim");
    const peer = await stack.connect();
    peer.send(check(7));
    await peer.received(1);
    const checks = requestBytes(...Array(500).fill(check(7)));
    peer.socket.write(Buffer.concat([checks, watchBytes("all"), checks, requestBytes(check(8)), watchBytes("none")]));
    await peer.received(1 + 500 + 1 + 501 + 1);
    expect(order(peer)).toEqual([...Array(501).fill("check"), "watch", ...Array(501).fill("check"), "watch"]);
    // All that memory knows came from there, before the WatchRequest and behind it.
    expect(stack.edge.batches).toEqual([["check"], ["check"]]);
  });

  it("is not overtaken by what comes behind it, while the edge is asked", async () => {
    stack.edge.events.end(1);
    const { promise, resolve } = Promise.withResolvers<"respond">();
    stack.edge.events.pageFaults.push(() => promise);
    const peer = await stack.connect();
    peer.socket.write(Buffer.concat([requestBytes(check(1)), watchBytes("all", "p0"), requestBytes(check(2))]));
    await until(() => stack.edge.events.pages.length === 1);
    expect(order(peer)).toEqual(["check"]);
    expect(stack.edge.batches).toEqual([["check"]]);
    resolve("respond");
    await peer.received(3);
    await peer.told(1);
    expect(peer.responses.map(({ kind }) => kind)).toEqual(["check", "watch", "check"]);
    expect(order(peer).indexOf("1")).toBeGreaterThan(order(peer).indexOf("watch"));
  });

  it.each<[string, Uint8Array]>([
    ["a scope that there is not", new PacketBytes().u8(3).string("").packet(15)],
    ["a position that is too long", new PacketBytes().u8(2).string("x".repeat(97)).packet(15)],
    ["no position", new PacketBytes().u8(2).packet(15)],
    ["bytes behind it", new PacketBytes().u8(2).string("").u8(0).packet(15)],
    ["a position that no log gave out", watchBytes("all", "nonsense")],
  ])("with %s is Invalid, and the watch before it goes on", async (_what, bytes) => {
    const peer = await stack.connect();
    await peer.watch("all");
    peer.socket.write(bytes);
    expect((await peer.received(2)).at(-1)).toEqual({ kind: "watch", status: Status.Invalid, position: null });
    stack.edge.events.end(7);
    expect(words(await peer.told(1))).toEqual(["7"]);
  });

  it("replaces the watch before it", async () => {
    const peer = await stack.connect();
    await peer.watch("all");
    await peer.watch("known");
    stack.edge.events.end(8);
    stack.edge.events.end(7);
    stack.edge.sessions.users.set(9, "kim");
    peer.send(check(9));
    await peer.received(3);
    stack.edge.events.end(9);
    expect(words(await peer.told(1))).toEqual(["9"]);
  });

  it("is refused before the service key", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_SERVICE_KEYS: "a-service-key-of-32-characters-1" });
    const peer = await stack.connect();
    peer.socket.write(watchBytes("all"));
    expect((await peer.untilEnded()).map(({ kind, status }) => [kind, status])).toEqual([["error", Status.Denied]]);
    expect(stack.edge.events.streams).toEqual([]);
  });

  it("is answered before the connection ends, if the client has closed its side", async () => {
    const peer = await stack.connect();
    peer.socket.end(Buffer.concat([watchBytes("all"), requestBytes(check(1))]));
    expect((await peer.untilEnded()).map(({ kind }) => kind)).toEqual(["watch", "check"]);
    await until(async () => (await stack.metric("artoria_bridge_watchers")) === 0);
  });
});

describe("a catch-up", () => {
  it("reads the log page by page, and goes on with the stream: no end is missing, none comes twice", async () => {
    const { events } = stack.edge;
    events.pageSize = 3;
    for (let sessid = 1; sessid <= 10; sessid++) events.end(sessid);
    const peer = await stack.connect();
    expect(await peer.watch("all", "p2")).toMatchObject({ status: Status.Ok, position: "p2" });
    for (let sessid = 11; sessid <= 15; sessid++) events.end(sessid);
    expect(words(await peer.told(13))).toEqual(Array.from({ length: 13 }, (_, index) => String(index + 3)));
    expect(await stack.metric('artoria_bridge_watch_catch_ups_total{source="edge"}')).toBe(1);
  });

  it("drops what the stream tells again because a page was quicker", async () => {
    const { events } = stack.edge;
    events.end(1);
    const other = await stack.connect();
    await other.watch("all");
    // While its page is asked for, an end gets into the log, and to the page; the stream tells it later.
    events.pushes = false;
    events.pageFaults.push(
      () => "respond",
      () => {
        events.end(2);
        events.end(3);
        return "respond";
      },
    );
    const peer = await stack.connect();
    await peer.watch("all", "p0");
    expect(words(await peer.told(3))).toEqual(["1", "2", "3"]);
    events.pushes = true;
    events.end(4);
    expect(words(await other.told(3))).toEqual(["2", "3", "4"]);
    expect(words(await peer.told(4))).toEqual(["1", "2", "3", "4"]);
  });

  it("drops what the stream tells again of several pages", async () => {
    const { events } = stack.edge;
    for (let sessid = 1; sessid <= 4; sessid++) events.end(sessid);
    const other = await stack.connect();
    await other.watch("all");
    events.pushes = false;
    events.pageSize = 2;
    events.pageFaults.push(
      () => "respond",
      () => {
        for (let sessid = 5; sessid <= 7; sessid++) events.end(sessid);
        return "respond";
      },
    );
    const peer = await stack.connect();
    await peer.watch("all", "p0");
    await peer.told(7);
    events.push();
    events.pushes = true;
    events.end(8);
    expect(words(await peer.told(8))).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    expect(words(await other.told(4))).toEqual(["5", "6", "7", "8"]);
  });

  it("tells nothing that came before its position, however late the stream is", async () => {
    const { events } = stack.edge;
    const other = await stack.connect();
    await other.watch("all");
    events.pushes = false;
    for (const sessid of [1, 2, 3]) events.end(sessid);
    const peer = await stack.connect();
    const answered = peer.watch("all", "p2");
    await until(() => events.pages.length > 0);
    events.push();
    expect(await answered).toMatchObject({ status: Status.Ok, position: "p2" });
    events.pushes = true;
    events.end(4);
    expect(words(await peer.told(2))).toEqual(["3", "4"]);
    expect(words(await other.told(4))).toEqual(["1", "2", "3", "4"]);
  });

  it("tells a watch of the known sessions all that happened before the request, and then what it knows", async () => {
    const { events } = stack.edge;
    events.end(1);
    events.end(2);
    const peer = await stack.connect();
    await peer.watch("known", "p0");
    expect(words(await peer.told(2))).toEqual(["1", "2"]);
    events.end(3);
    stack.edge.sessions.users.set(4, "kim");
    peer.send(check(4));
    await peer.received(2);
    events.end(4);
    expect(words(await peer.told(3))).toEqual(["1", "2", "4"]);
  });

  it("tells a watch of the known sessions all from the bridge's memory too, up to the request", async () => {
    const { events } = stack.edge;
    const other = await stack.connect();
    await other.watch("all");
    events.end(1);
    events.end(2);
    await other.told(2);
    const peer = await stack.connect();
    await peer.watch("known", "p1");
    events.end(3);
    await other.told(3);
    stack.edge.sessions.users.set(4, "kim");
    peer.send(check(4));
    await peer.received(2);
    events.end(4);
    expect(words(await peer.told(2))).toEqual(["2", "4"]);
    expect(events.pages).toEqual([]);
  });

  it("from a position that the log has no more is NotFound, with the log's end, and nothing is watched", async () => {
    const { events } = stack.edge;
    for (let sessid = 1; sessid <= 5; sessid++) events.end(sessid);
    events.trimmed = 3;
    const peer = await stack.connect();
    await peer.watch("all");
    expect(await peer.watch("all", "p1")).toEqual({ kind: "watch", status: Status.NotFound, position: "p5" });
    events.end(6);
    expect(await peer.watch("all", "p5")).toEqual({ kind: "watch", status: Status.Ok, position: "p5" });
    expect(words(await peer.told(1))).toEqual(["6"]);
  });

  it("is told a reset if the log is trimmed while it goes on, and continues at the log's end", async () => {
    const { events } = stack.edge;
    events.pageSize = 2;
    for (let sessid = 1; sessid <= 9; sessid++) events.end(sessid);
    events.pageFaults.push(
      () => "respond",
      () => "respond",
      () => {
        events.trimmed = 7;
        return "respond";
      },
    );
    const peer = await stack.connect();
    await peer.watch("all", "p0");
    await peer.told(3);
    events.end(10);
    expect(words(await peer.told(4))).toEqual(["1", "2", "reset", "10"]);
  });

  it("goes on where it was when a page has failed", async () => {
    const { events } = stack.edge;
    events.pageSize = 2;
    for (let sessid = 1; sessid <= 4; sessid++) events.end(sessid);
    events.pageFaults.push(
      () => "respond",
      () => "respond",
      (response) => {
        response.writeHead(503).end();
        return "done";
      },
    );
    const peer = await stack.connect();
    await peer.watch("all", "p0");
    expect(words(await peer.told(4))).toEqual(["1", "2", "3", "4"]);
    expect(await stack.metric('artoria_bridge_watch_pages_total{outcome="failed"}')).toBe(1);
  });
});

describe("when the edge does not respond", () => {
  it("a WatchRequest is Unavailable, and nothing is watched", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_EDGE_DEADLINE_MS: "100" }, (edge) => {
      edge.events.refusal = 503;
    });
    const peer = await stack.connect();
    expect(await peer.watch("all")).toEqual({ kind: "watch", status: Status.Unavailable, position: null });
    stack.edge.events.refusal = undefined;
    await until(async () => (await peer.watch("all")).status === Status.Ok);
    expect(stack.log.join("")).not.toContain(stack.edge.apiKey);
  });

  it("what waits behind a WatchRequest is not Unavailable because of that", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_EDGE_DEADLINE_MS: "1000" }, (edge) => {
      edge.events.refusal = 404;
    });
    const peer = await stack.connect();
    peer.socket.write(Buffer.concat([watchBytes("all"), requestBytes(check(8))]));
    expect((await peer.received(2)).map(({ status }) => status)).toEqual([Status.Unavailable, Status.NotFound]);
  });

  it("a watch goes on when it is back, from its position", async () => {
    const peer = await stack.connect();
    await peer.watch("all");
    stack.edge.events.end(7);
    await peer.told(1);
    stack.edge.events.refusal = 503;
    (await stack.edge.events.stream(0)).response.destroy();
    await stack.edge.events.stream(1);
    stack.edge.events.end(8);
    stack.edge.events.refusal = undefined;
    expect(words(await peer.told(2))).toEqual(["7", "8"]);
    expect(stack.edge.events.streams.at(-1)?.lastEventId).toBe("p1");
    stack.edge.events.end(9);
    expect(words(await peer.told(3))).toEqual(["7", "8", "9"]);
  });

  it("an end that the stream tells twice is told once", async () => {
    const peer = await stack.connect();
    await peer.watch("all");
    stack.edge.events.end(7);
    stack.edge.events.end(8);
    stack.edge.events.repeat(0);
    stack.edge.events.end(9);
    expect(words(await peer.told(3))).toEqual(["7", "8", "9"]);
  });

  it("a stream that is no stream of events is dialled again", async () => {
    const peer = await stack.connect();
    await peer.watch("all");
    (await stack.edge.events.stream(0)).response.write("event: ended\nid: p9\ndata: {}\n\n");
    await stack.edge.events.stream(1);
    stack.edge.events.end(7);
    expect(words(await peer.told(1))).toEqual(["7"]);
  });
});

describe("a server that only listens", () => {
  it("is not idle: it is told where it stands", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_IDLE_MS: "600" });
    const [watcher, silent] = [await stack.connect(), await stack.connect()];
    await watcher.watch("known");
    silent.send(check(1));
    await silent.untilEnded();
    await watcher.told(4);
    expect(watcher.ended).toBe(false);
    expect(watcher.notices[3]).toMatchObject({ kind: "checkpoint", position: "p0" });
    stack.edge.events.end(7);
    await until(() => watcher.notices.at(-1)?.position === "p1");
    expect(words(watcher.notices)).not.toContain("7");
  });

  it("is ended by a drain as others are", async () => {
    const peer = await stack.connect();
    await peer.watch("all");
    await stack.bridge.drain();
    await peer.untilEnded();
    expect((await stack.edge.events.stream(0)).isOpen).toBe(false);
  });
});
