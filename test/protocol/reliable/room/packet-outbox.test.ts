import { describe, expect, it } from "vitest";
import { DeliveryRun, PacketOutbox } from "../../../../protocol/reliable/room/room-log.ts";

const ACK = { kind: "ack", position: 1 } as const;
const ACK_BYTES = [12, 0, 5, 1, 1, 0, 0, 0, 0, 0, 0, 0];

/** A run of three messages, and the bytes of each. */
const run = new DeliveryRun();
const BODIES = [[], [1, 2], Array.from({ length: 300 }, () => 3)];
const PACKETS = BODIES.map((body, at) => {
  run.add({ kind: "message", offset: at + 9, from: 2, to: 0, body: Uint8Array.from(body), atMs: 0 });
  const size = 20 + body.length;
  return [size % 256, size >> 8, 3, 1, at + 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, ...body];
});

/** An outbox that was given these, in order: a number is an index of the run. */
function filled(...packets: (number | typeof ACK)[]): PacketOutbox {
  const outbox = new PacketOutbox();
  for (const packet of packets) {
    if (typeof packet === "number") outbox.addDelivery(run, packet);
    else outbox.add(packet);
  }
  return outbox;
}

function packet(index: number): number[] {
  return PACKETS[index] ?? [];
}

describe("PacketOutbox", () => {
  it("returns the collected packets once, in order, as one array", () => {
    const outbox = filled(0, ACK, 1, ACK);
    expect([...(outbox.take() ?? [])]).toEqual([...packet(0), ...ACK_BYTES, ...packet(1), ...ACK_BYTES]);
    expect(outbox.take()).toBeUndefined();
    outbox.addDelivery(run, 2);
    expect([...(outbox.take() ?? [])]).toEqual(packet(2));
  });

  it("returns the same array for connections that were sent the same part of a run, and another for others", () => {
    const outboxes = [filled(0, 1, 2), filled(0, 1, 2), filled(0, 1, ACK, 2), filled(0, 2), filled(2, 0), filled(1)];
    const [first, same, own, holed, turned, alone] = outboxes.map((outbox) => outbox.take());
    expect([...(first ?? [])]).toEqual(PACKETS.flat());
    expect(same).toBe(first);
    expect([...(own ?? [])]).toEqual([...packet(0), ...packet(1), ...ACK_BYTES, ...packet(2)]);
    expect([...(holed ?? [])]).toEqual([...packet(0), ...packet(2)]);
    expect([...(turned ?? [])]).toEqual([...packet(2), ...packet(0)]);
    expect([...(alone ?? [])]).toEqual(packet(1));
  });
});
