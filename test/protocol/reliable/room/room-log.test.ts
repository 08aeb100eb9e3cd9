import { describe, expect, it } from "vitest";
import {
  DeliveryRun,
  PacketOutbox,
  RunPlaces,
  UnackedDeliveries,
} from "../../../../protocol/reliable/room/room-log.ts";

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

/** A run of entries with these offsets; the entry with offset n has n bytes. */
function runOf(...offsets: number[]): RunPlaces {
  const places = new RunPlaces();
  let end = 0;
  for (const offset of offsets) {
    end += offset;
    places.add(offset, end);
  }
  return places;
}

describe("UnackedDeliveries", () => {
  it("counts the bytes that were sent and not acked, whichever parts of runs they were", () => {
    const unacked = new UnackedDeliveries();
    const [one, two] = [runOf(1, 2, 3, 4), runOf(5, 6, 7)];
    for (const index of [0, 1, 3]) unacked.add(one, index);
    for (const index of [0, 1, 2]) unacked.add(two, index);
    expect(unacked.bytes).toBe(25);
    const after = (position: number) => {
      unacked.ack(position);
      return unacked.bytes;
    };
    expect([0, 1, 3, 5, 5, 6].map(after)).toEqual([25, 24, 22, 13, 13, 7]);
    unacked.add(runOf(8), 0);
    expect([7, 100].map(after)).toEqual([8, 0]);
  });
});
