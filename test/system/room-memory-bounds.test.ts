import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { DEFAULT_CLIENT_LIMITS } from "../../protocol/reliable/client/client-config.ts";
import type { ClientEvent } from "../../protocol/reliable/client/client-output.ts";
import { DEFAULT_ROOM_LIMITS } from "../../protocol/reliable/room/room-limits.ts";
import { logMessageBytes } from "../../protocol/reliable/room/room-log.ts";
import { DirectPair } from "../support/rooms/direct-pair.ts";

const BODY = new Uint8Array(16).fill(1);
const MESSAGES = 1_000_000;
const HEAP_TOLERANCE_BYTES = 8 * 1024 * 1024;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** Sends as many messages as the window takes. */
function fillWindow(pair: DirectPair): number {
  let taken = 0;
  while (pair.client.send(BODY, 0, pair.nowMs).kind === "queued") taken += 1;
  return taken;
}

describe("memory", () => {
  it("of a client that cannot send stays within its window", () => {
    const pair = new DirectPair();
    let taken = 0;
    for (let message = 0; message < 10_000; message++) {
      if (pair.client.send(BODY, 0, pair.nowMs).kind === "queued") taken += 1;
    }
    expect(taken).toBe(DEFAULT_CLIENT_LIMITS.windowMessages);
    expect(pair.client.unackedMessages).toBe(DEFAULT_CLIENT_LIMITS.windowMessages);
  });

  it("of client and room does not grow with a million acked messages", () => {
    let delivered = 0;
    const pair = new DirectPair((event) => {
      if (event.kind === "message") delivered += 1;
    });
    pair.client.connect(pair.nowMs);
    pair.exchange();
    let sent = 0;
    let heapAtTenth = 0;
    while (sent < MESSAGES) {
      sent += fillWindow(pair);
      pair.exchange();
      // In 2.1 s a budget lets a window through.
      pair.pass(2_100);
      if (heapAtTenth === 0 && sent >= MESSAGES / 10) heapAtTenth = heapBytes();
    }
    expect(delivered).toBe(sent);
    expect(pair.client.unackedMessages).toBe(0);
    expect(pair.storage.length).toBeLessThanOrEqual(DEFAULT_ROOM_LIMITS.log.maxEntries);
    expect(heapBytes() - heapAtTenth).toBeLessThan(HEAP_TOLERANCE_BYTES);
  });

  it("of a room that holds 12,000 messages for a player stays at the log's bounds, and the rest is an exact Gap", () => {
    const offsets: number[] = [];
    const gaps: ClientEvent[] = [];
    const onEvent = (event: ClientEvent) => {
      if (event.kind === "message") offsets.push(event.offset);
      if (event.kind === "gap") gaps.push(event);
    };
    const maxNeededBytes = 10_000 * logMessageBytes(BODY);
    const pair = new DirectPair(onEvent, { log: { ...DEFAULT_ROOM_LIMITS.log, maxEntries: 100, maxNeededBytes } });
    pair.client.connect(pair.nowMs);
    pair.exchange();
    pair.pass(100);
    pair.cut();
    for (let message = 0; message < 12_000; message++) {
      pair.room.post(0, 0, BODY, pair.nowMs);
      pair.room.takeOutputs(pair.nowMs);
      expect(pair.storage.bytes).toBeLessThanOrEqual(maxNeededBytes);
    }
    expect(pair.storage.length).toBe(10_000);
    pair.pass(1);
    pair.pass(100);
    // Offsets: joined 1, held 2, the messages 3..12002.
    expect(gaps).toEqual([{ kind: "gap", from: 2, to: 2_002 }]);
    expect(offsets).toEqual(Array.from({ length: 10_000 }, (_, index) => 2_003 + index));
    expect(pair.client.state).toBe("Established");
    // Nobody needs it any more.
    for (let second = 0; second < 3; second++) pair.pass(1_000);
    expect(pair.storage.length).toBe(100);
  });
});
