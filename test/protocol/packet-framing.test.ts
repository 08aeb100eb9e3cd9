import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MAX_PLAYER_PACKET_BYTES,
  MAX_SERVICE_PACKET_BYTES,
  PacketDecoder,
  ProtocolError,
} from "../../protocol/packet-framing.ts";
import { splitPackets } from "../support/packets/cut-and-mutate.ts";
import { PacketBytes, toHex } from "../support/packets/packet-bytes.ts";

function packetOf(bytes: number): Uint8Array {
  return new PacketBytes().bytes(new Uint8Array(bytes - 4).fill(0x5a)).packet(0x0102);
}

describe("PacketDecoder", () => {
  it.each([4, 5, MAX_SERVICE_PACKET_BYTES, MAX_PLAYER_PACKET_BYTES])("returns a packet of %i bytes", (size) => {
    const packet = packetOf(size);
    expect(splitPackets(MAX_PLAYER_PACKET_BYTES, [packet]).map(toHex)).toEqual([toHex(packet)]);
  });

  it("returns the same packets wherever the stream is split", () => {
    const sizes = fc.array(fc.integer({ min: 4, max: 40 }), { maxLength: 6 });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat({ max: 250 }), { maxLength: 12 }), (lengths, cuts) => {
        const packets = lengths.map(packetOf);
        const stream = new Uint8Array(Buffer.concat(packets));
        const borders = [0, ...cuts.map((cut) => cut % (stream.byteLength + 1)).sort((a, b) => a - b)];
        const chunks = borders.map((border, index) => stream.subarray(border, borders[index + 1]));
        expect(splitPackets(1024, chunks).map(toHex)).toEqual(packets.map(toHex));
      }),
    );
  });

  it.each([
    ["size_too_small", 0],
    ["size_too_small", 3],
    ["size_too_large", 1025],
    ["size_too_large", 0xffff],
  ])("throws %s at size %i, after the packets before it and at every later call", (code, size) => {
    const good = packetOf(6);
    const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
    const packets: Uint8Array[] = [];
    const stream = Buffer.concat([good, new PacketBytes().packet(1, size)]);
    expect(() => decoder.push(stream, (packet) => packets.push(packet))).toThrow(expect.objectContaining({ code }));
    expect(packets.map(toHex)).toEqual([toHex(good)]);
    expect(() => decoder.push(good, (packet) => packets.push(packet))).toThrow(ProtocolError);
    expect(packets).toHaveLength(1);
  });

  it("refuses a size before it buffers a byte of the packet", () => {
    for (const cut of [1, 2]) {
      const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
      const head = new PacketBytes().packet(1, 1025);
      const push = () => {
        decoder.push(head.subarray(0, cut), () => undefined);
        decoder.push(head.subarray(cut, 2), () => undefined);
      };
      expect(push).toThrow(ProtocolError);
      expect(decoder.heldBytes).toBeLessThanOrEqual(2);
    }
  });

  it("buffers an incomplete packet and nothing between packets", () => {
    const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
    const packet = packetOf(100);
    decoder.push(packet.subarray(0, 99), () => undefined);
    expect(decoder.heldBytes).toBe(99);
    decoder.push(packet.subarray(99), () => undefined);
    expect(decoder.heldBytes).toBe(0);
  });

  it("does not read a chunk again after the call", () => {
    const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
    const packet = packetOf(10);
    const chunk = Uint8Array.from(packet.subarray(0, 7));
    const packets: string[] = [];
    decoder.push(chunk, (whole) => packets.push(toHex(whole)));
    chunk.fill(0);
    decoder.push(packet.subarray(7), (whole) => packets.push(toHex(whole)));
    expect(packets).toEqual([toHex(packet)]);
  });
});
