import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Status } from "../../protocol/status-codes.ts";
import type { WatchNotice } from "../../protocol/watch-packets.ts";
import { watchBytes } from "../support/peers/game-peer.ts";
import { TestBridge } from "../support/peers/test-bridge.ts";
import { until } from "../support/until.ts";

let stack: TestBridge;
beforeEach(async () => {
  stack = await TestBridge.open();
});
afterEach(() => stack.close());

/** What a peer was told, as one word each. */
function words(notices: readonly WatchNotice[]): string[] {
  return notices.map((notice) => (notice.kind === "ended" ? String(notice.sessid) : notice.kind));
}

describe("many watches", () => {
  it("cost one stream", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: "2000" });
    const peers = await Promise.all(Array.from({ length: 2_000 }, () => stack.connect()));
    await Promise.all(peers.map((peer) => peer.watch("all")));
    stack.edge.events.end(7);
    await Promise.all(peers.map((peer) => peer.told(1)));
    expect(stack.edge.events.streams).toHaveLength(1);
    expect(await stack.metric("artoria_bridge_watchers")).toBe(2_000);
    expect(await stack.metric("artoria_bridge_watch_stream_up")).toBe(1);
    expect(await stack.metric('artoria_bridge_watch_notices_total{kind="ended"}')).toBe(2_000);
  });

  it("that catch up in a loop ask for few pages at once", async () => {
    const { events } = stack.edge;
    for (let sessid = 1; sessid <= 50; sessid++) events.end(sessid);
    const peers = await Promise.all(Array.from({ length: 20 }, () => stack.connect()));
    const requests = Array.from({ length: 20 }, (_, index) => watchBytes("all", `p${index}`));
    for (const peer of peers) peer.socket.write(Buffer.concat(requests));
    const all = await Promise.all(peers.map((peer) => peer.received(20)));
    expect(new Set(all.flat().map(({ status }) => status))).toEqual(new Set([Status.Ok]));
    expect(events.mostPagesAtOnce).toBeLessThanOrEqual(4);
    // Each is told from its last request on.
    const last = Array.from({ length: 31 }, (_, index) => String(index + 20));
    await Promise.all(peers.map((peer) => until(() => words(peer.notices).slice(-31).join() === last.join())));
  });
});

describe("a server that does not read", () => {
  it("is paced, and gets every end in order once it reads", async () => {
    await stack.close();
    // The system's buffers hold most of it; what they do not hold is more than this.
    stack = await TestBridge.open({ BRIDGE_MAX_UNREAD_BYTES: "131072" });
    const { events } = stack.edge;
    const peer = await stack.connect();
    await peer.watch("all");
    peer.socket.pause();
    // More than the buffers of both sockets hold, and more than the ring.
    for (let sessid = 1; sessid <= 30_000; sessid++) events.log.push(longEnd(sessid));
    events.push();
    await until(async () => (await stack.metric("artoria_bridge_watch_events_total")) === 30_000);
    expect(peer.ended).toBe(false);
    peer.socket.resume();
    await peer.told(30_000);
    expect(words(peer.notices)).toEqual(Array.from({ length: 30_000 }, (_, index) => String(index + 1)));
  });

  it("is disconnected, and catches up from its position", async () => {
    await stack.close();
    stack = await TestBridge.open({ BRIDGE_WRITE_STALL_TIMEOUT_MS: "200" });
    const { events } = stack.edge;
    const peer = await stack.connect();
    await peer.watch("all");
    peer.socket.pause();
    for (let sessid = 1; sessid <= 30_000; sessid++) events.log.push(longEnd(sessid));
    events.push();
    await until(async () => (await stack.metric('artoria_bridge_disconnects_total{code="unread_responses"}')) === 1);
    peer.socket.resume();
    await peer.untilEnded();
    const told = peer.notices.length;
    expect(told).toBeLessThan(30_000);
    const again = await stack.connect();
    await again.watch("all", peer.notices.at(-1)?.position ?? "p0");
    await again.told(30_000 - told);
    expect(again.notices[0]).toMatchObject({ sessid: told + 1 });
    expect(again.notices.at(-1)).toMatchObject({ sessid: 30_000 });
  });
});

function longEnd(sessid: number) {
  return { position: `p${sessid}`, at: sessid, reason: "expired", sessid, user: "k".repeat(128) } as const;
}
