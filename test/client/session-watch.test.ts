import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ConnectionError } from "../../client/connector.ts";
import { SessionWatch, type SessionWatchOptions, type WatchEvent } from "../../client/session-watch.ts";
import { Status } from "../../protocol/status-codes.ts";
import { endPacket, ScriptedBridge, statusPacket, watchPacket } from "../support/peers/scripted-bridge.ts";
import { until } from "../support/until.ts";

let bridge: ScriptedBridge;
let watch: SessionWatch | undefined;
let losses: ConnectionError[];

beforeEach(async () => {
  bridge = await ScriptedBridge.open();
  losses = [];
});
afterEach(async () => {
  vi.useRealTimers();
  watch?.close();
  watch = undefined;
  await bridge.close();
});

/** Opens a watch, whose first connection gets these packets in response to its first request. */
async function open(
  options: Pick<SessionWatchOptions, "scope" | "after">,
  ...packets: readonly Uint8Array[]
): Promise<AsyncIterator<WatchEvent, void>> {
  const opening = SessionWatch.open({
    ...options,
    connector: bridge.connector,
    onInterrupted: (reason) => losses.push(reason),
  });
  const connection = await bridge.connection(0);
  await connection.request(0);
  connection.send(...packets);
  watch = await opening;
  return watch[Symbol.asyncIterator]();
}

async function take(events: AsyncIterator<WatchEvent, void>, count: number): Promise<WatchEvent[]> {
  const taken: WatchEvent[] = [];
  while (taken.length < count) {
    const { value } = await events.next();
    if (value === undefined) break;
    taken.push(value);
  }
  return taken;
}

const shortly = (event: WatchEvent): string =>
  event.kind === "ended" ? `${event.reason} ${event.sessid} ${event.position}` : `${event.kind} ${event.position}`;

describe("SessionWatch", () => {
  it("gives the ends, checkpoints and resets in their order, also those in one chunk with the response", async () => {
    const first = [watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1", "kim"), endPacket(0, 0, "p2")];
    const events = await open({ scope: "all" }, ...first);
    const [connection] = bridge.connections;
    expect(connection?.requests).toEqual([{ scope: "all", after: null }]);
    connection?.send(endPacket(4, 0, "p9"), endPacket(3, -2, "q1"));
    expect(await take(events, 5)).toEqual([
      { kind: "checkpoint", position: "p0" },
      { kind: "ended", reason: "deleted", sessid: 7, at: 1_763_775_123_456, position: "p1", user: "kim" },
      { kind: "checkpoint", position: "p2" },
      { kind: "reset", position: "p9" },
      { kind: "ended", reason: "evicted", sessid: -2, at: 1_763_775_123_456, position: "q1", user: null },
    ]);
  });

  it("goes on from the last event that it received when the connection is lost", async () => {
    const events = await open({ scope: "all", after: "p0" }, watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1"));
    expect(bridge.connections[0]?.requests).toEqual([{ scope: "all", after: "p0" }]);
    expect((await take(events, 1)).map(shortly)).toEqual(["deleted 7 p1"]);
    bridge.connections[0]?.socket.destroy();
    const second = await bridge.connection(1);
    expect(await second.request(0)).toEqual({ scope: "all", after: "p1" });
    second.send(watchPacket(Status.Ok, "p1"), endPacket(2, 8, "p2"));
    expect((await take(events, 1)).map(shortly)).toEqual(["expired 8 p2"]);
    expect(losses.map(({ code }) => code)).toEqual(["closed"]);
  });

  it("asks again on the same connection while the bridge refuses, so that requests go on", async () => {
    const events = await open({ scope: "known", after: "p0" }, watchPacket(Status.Ok, "p0"));
    bridge.connections[0]?.socket.destroy();
    const second = await bridge.connection(1);
    await second.request(0);
    const checked = watch?.request({ kind: "check", sessid: 7 });
    await second.request(1);
    second.send(watchPacket(Status.Unavailable), statusPacket(2, Status.Ok));
    expect((await checked)?.status).toBe(Status.Ok);
    expect(await second.request(2)).toEqual({ scope: "known", after: "p0" });
    second.send(watchPacket(Status.Ok, "p0"));
    second.send(endPacket(1, 7, "p1"));
    expect((await take(events, 1)).map(shortly)).toEqual(["deleted 7 p1"]);
    expect(losses.map(({ code }) => code)).toEqual(["closed", "refused"]);
    expect(bridge.connections).toHaveLength(2);
  });

  it("tells of a reset, and goes on from the log's end, if its position is gone", async () => {
    const opening = open({ scope: "all", after: "old" }, watchPacket(Status.NotFound, "p5"));
    const connection = await bridge.connection(0);
    expect(await connection.request(1)).toEqual({ scope: "all", after: "p5" });
    connection.send(watchPacket(Status.Ok, "p5"), endPacket(1, 7, "p6"));
    expect((await take(await opening, 2)).map(shortly)).toEqual(["reset p5", "deleted 7 p6"]);
  });

  it("knows after each turn of the loop where the next run goes on", async () => {
    const events = await open({ scope: "all" }, watchPacket(Status.Ok, "p0"), endPacket(1, 7, "p1"));
    expect(watch?.position).toBeUndefined();
    await take(events, 2);
    // The loop is not done with p1 before it asks for the next event.
    expect(watch?.position).toBe("p0");
    const next = events.next();
    await until(() => watch?.position === "p1");
    watch?.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it("makes the known sessions known to a new connection before it catches up", async () => {
    const events = await open({ scope: "known" }, watchPacket(Status.Ok, "p0"));
    const [first] = bridge.connections;
    const requests = [7, 8, 9].map((sessid) => watch?.request({ kind: "register", sessid, user: "kim", ip: null }));
    await first?.request(3);
    first?.send(...[Status.Ok, Status.Ok, Status.Conflict].map((status) => statusPacket(4, status)));
    expect((await Promise.all(requests)).map((response) => response?.status)).toEqual([0, 0, 3]);
    first?.send(endPacket(1, 7, "p1"));
    const ended = await take(events, 2);
    first?.socket.destroy();
    const second = await bridge.connection(1);
    await second.request(1);
    // Session 7 has ended, and 9 is another user's.
    expect(second.requests).toEqual([
      { scope: "known", after: null },
      { kind: "check", sessid: 8 },
    ]);
    second.send(watchPacket(Status.Ok, "p3"), endPacket(1, 5, "p4"), statusPacket(2, Status.NotFound));
    expect(await second.request(2)).toEqual({ scope: "known", after: "p1" });
    // The catch-up has the end of session 8, and that of session 5 once more.
    second.send(watchPacket(Status.Ok, "p1"), endPacket(1, 8, "p2"), endPacket(1, 5, "p4"));
    const all = [...ended, ...(await take(events, 2))].map(shortly);
    expect(all).toEqual(["checkpoint p0", "deleted 7 p1", "deleted 8 p2", "deleted 5 p4"]);
  });

  it("rejects requests while there is no connection", async () => {
    await open({ scope: "known" }, watchPacket(Status.Ok, "p0"));
    const pending = watch?.request({ kind: "count" });
    await bridge.connections[0]?.request(1);
    bridge.connections[0]?.socket.destroy();
    await expect(pending).rejects.toMatchObject({ code: "closed" });
    await expect(watch?.request({ kind: "count" })).rejects.toMatchObject({ code: "closed" });
  });

  it("holds a bounded number of events for a slow loop, and loses none", async () => {
    const total = 12_345;
    const end = (index: number): Uint8Array => endPacket(1, index + 1, `p${index + 1}`);
    const sendFrom = (index: number): void => {
      connection.send(
        watchPacket(Status.Ok, `p${index}`),
        ...Array.from({ length: total - index }, (_, i) => end(index + i)),
      );
    };
    const opening = open({ scope: "all", after: "p0" });
    const connection = await bridge.connection(0);
    await connection.request(0);
    sendFrom(0);
    const events = await opening;
    expect(await connection.request(1)).toEqual({ scope: "none", after: null });
    // What the bridge had sent before it stopped does not count.
    connection.send(watchPacket(Status.Ok));
    const taken = await take(events, 5_001);
    expect(await connection.request(2)).toEqual({ scope: "all", after: "p10000" });
    sendFrom(10_000);
    taken.push(...(await take(events, total - taken.length)));
    expect(taken.map((event) => event.kind === "ended" && event.sessid)).toEqual(
      Array.from({ length: total }, (_, index) => index + 1),
    );
    expect(connection.requests).toHaveLength(3);
  });

  it("asks again if nothing comes for 30 s, and gives up a connection that does not respond", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const events = await open({ scope: "all" }, watchPacket(Status.Ok, "p0"), endPacket(0, 0, "p1"));
    const [connection] = bridge.connections;
    vi.advanceTimersByTime(29_999);
    expect(connection?.requests).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(await connection?.request(1)).toEqual({ scope: "all", after: "p1" });
    connection?.send(watchPacket(Status.Ok, "p1"), endPacket(1, 7, "p2"));
    expect((await take(events, 3)).map(shortly)).toEqual(["checkpoint p0", "checkpoint p1", "deleted 7 p2"]);
    vi.advanceTimersByTime(30_000);
    await connection?.request(2);
    expect(losses).toEqual([]);
    // The time for a response.
    vi.advanceTimersByTime(5_000);
    vi.useRealTimers();
    expect(await (await bridge.connection(1)).request(0)).toEqual({ scope: "all", after: "p2" });
    expect(losses.map(({ code }) => code)).toEqual(["timeout"]);
  });

  it.each([
    ["TooMany", watchPacket(Status.TooMany)],
    ["Unavailable", watchPacket(Status.Unavailable)],
    ["an ErrorResponse, as an older bridge sends", Buffer.from("0e007f0004" + "0700" + "6e6f20776179" + "2e", "hex")],
  ])("is not opened if the first response is %s", async (_, response) => {
    await expect(open({ scope: "all" }, response)).rejects.toMatchObject({ name: "ConnectionError", code: "refused" });
    await until(() => bridge.connections[0]?.socket.destroyed);
  });

  it("ends its connection when the loop is left", async () => {
    await open({ scope: "all" }, watchPacket(Status.Ok, "p0"));
    for await (const event of watch ?? []) {
      expect(event).toEqual({ kind: "checkpoint", position: "p0" });
      break;
    }
    await until(() => bridge.connections[0]?.socket.destroyed);
    expect(losses).toEqual([]);
    expect(bridge.connections).toHaveLength(1);
  });

  it("stops reconnecting when it is closed", async () => {
    const events = await open({ scope: "all" }, watchPacket(Status.Ok, "p0"));
    await take(events, 1);
    bridge.connections[0]?.socket.destroy();
    const second = await bridge.connection(1);
    await second.request(0);
    watch?.close();
    expect(await events.next()).toEqual({ done: true, value: undefined });
    await until(() => second.socket.destroyed);
  });
});
