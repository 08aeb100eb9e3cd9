import { describe, expect, it } from "vitest";
import { PacketOutbox } from "../../../protocol/reliable/packet-outbox.ts";
import { SharedWrite } from "../../../protocol/reliable/shared-write.ts";

const ACK = { kind: "ack", position: 1 } as const;
const ACK_BYTES = [12, 0, 5, 1, 1, 0, 0, 0, 0, 0, 0, 0];

/** An outbox that was given these, in order: bytes are an encoded packet. */
function filled(...packets: (Uint8Array<ArrayBuffer> | typeof ACK)[]): PacketOutbox {
  const outbox = new PacketOutbox();
  for (const packet of packets) {
    if (packet instanceof Uint8Array) outbox.addEncoded(packet);
    else outbox.add(packet);
  }
  return outbox;
}

describe("PacketOutbox", () => {
  const [one, two] = [Uint8Array.of(1, 1), Uint8Array.of(2)];

  it("gives out what was collected in order, as one array, once", () => {
    const outbox = filled(one, ACK, two, ACK);
    expect([...(outbox.take() ?? [])]).toEqual([1, 1, ...ACK_BYTES, 2, ...ACK_BYTES]);
    expect(outbox.take()).toBeUndefined();
  });

  it("gives sockets that were sent the same packets the same array, and others their own", () => {
    const shared = new SharedWrite();
    const outboxes = [filled(one, two), filled(one, ACK, two), filled(one, two), filled(two, one), filled(one)];
    const [first, own, same, other, alone] = outboxes.map((outbox) => outbox.take(shared));
    expect([...(first ?? [])]).toEqual([1, 1, 2]);
    expect([...(own ?? [])]).toEqual([1, 1, ...ACK_BYTES, 2]);
    expect(same).toBe(first);
    expect([...(other ?? [])]).toEqual([2, 1, 1]);
    expect(alone).toBe(one);
  });
});
