import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  isRoomName,
  MAX_BODY_BYTES,
  MAX_DATAGRAM_BYTES,
  type PlayerPacket,
  writePlayerPacket,
} from "../../protocol/player-packets.ts";
import { byteByByte, everySplit, splitPackets } from "../support/packets/cut-and-mutate.ts";
import { fromHex, PacketBytes, toHex } from "../support/packets/packet-bytes.ts";
import { playerPackets } from "../support/packets/player-arbitraries.ts";
import { packetOfVector, playerVectors } from "../support/packets/player-vectors.ts";

function encode(packet: PlayerPacket): Uint8Array {
  const writer = new ByteWriter();
  writePlayerPacket(writer, packet);
  return writer.finish();
}

function join(version: number, room: string): PacketBytes {
  return new PacketBytes().u8(version).bytes(new Uint8Array(20)).string(room).u64(0).u64(0).u32(1);
}

describe("player packets", () => {
  describe.each(playerVectors.map((vector) => ({ ...vector, value: packetOfVector(vector) })))(
    "vector $hex ($packet)",
    ({ hex, value }) => {
      it("is encoded as the bytes of the vector", () => {
        expect(toHex(encode(value))).toBe(hex);
      });

      it("is decoded whole, byte by byte, split at every position and from a pooled Buffer", () => {
        const bytes = fromHex(hex);
        for (const chunks of [[bytes], [Buffer.from(bytes)], byteByByte(bytes), ...everySplit(bytes)]) {
          expect(splitPackets(MAX_PLAYER_PACKET_BYTES, chunks).map(decodePlayerPacket)).toEqual([value]);
        }
      });

      it("is decoded in front of another packet, and twice in a row", () => {
        const stream = Buffer.concat([fromHex(hex), fromHex(hex), fromHex("0400")]);
        expect(splitPackets(MAX_PLAYER_PACKET_BYTES, [stream]).map(decodePlayerPacket)).toEqual([value, value]);
      });

      it("is malformed with a byte missing, and with a byte too many unless that belongs to its body", () => {
        const payload = fromHex(hex).subarray(4);
        if (!("body" in value)) {
          const longer = new PacketBytes()
            .bytes(payload)
            .u8(0)
            .packet(Number.parseInt(hex.slice(4, 6), 16) + 256);
          expect(() => decodePlayerPacket(longer)).toThrow(expect.objectContaining({ name: "ProtocolError" }));
        }
        const fixed = "body" in value ? payload.byteLength - value.body.byteLength : payload.byteLength;
        for (let length = 0; length < fixed; length++) {
          const type = Number.parseInt(hex.slice(4, 6), 16) + 256;
          const shorter = new PacketBytes().bytes(payload.subarray(0, length)).packet(type);
          expect(() => decodePlayerPacket(shorter)).toThrow(expect.objectContaining({ name: "ProtocolError" }));
        }
      });
    },
  );

  it.each([
    ["unknown_type", "type 268", new PacketBytes().packet(268)],
    ["unknown_type", "a service packet", new PacketBytes().i32(7).packet(1)],
    ["out_of_range", "version 2", join(2, "lobby").packet(256)],
    ["out_of_range", "an empty room", join(1, "").packet(256)],
    ["out_of_range", "a room of 65 bytes", join(1, "r".repeat(65)).packet(256)],
    ["out_of_range", "a room with a slash", join(1, "a/b").packet(256)],
    ["out_of_range", "a room with a line break at its end", join(1, "lobby\n").packet(256)],
    ["out_of_range", "seq 0", new PacketBytes().u64(0).u32(0).packet(258)],
    [
      "out_of_range",
      "seq 2^53",
      new PacketBytes()
        .u64(2n ** 53n)
        .u32(0)
        .packet(258),
    ],
    ["out_of_range", "offset 0", new PacketBytes().u64(0).u32(0).u32(0).packet(259)],
    ["out_of_range", "presence 5", new PacketBytes().u64(1).u32(1).u8(5).string("kim").packet(266)],
    ["out_of_range", "presence of nobody", new PacketBytes().u64(1).u32(1).u8(1).string("").packet(266)],
    ["out_of_range", "a gap that ends before it begins", new PacketBytes().u64(2).u64(1).packet(267)],
    ["bad_utf8", "a message with U+0000", new PacketBytes().u16(1).string("\0").packet(265)],
    ["out_of_range", "a body too large to be delivered", publishOf(MAX_BODY_BYTES + 1)],
  ])("%s: %s", (code, _, packet) => {
    expect(() => decodePlayerPacket(packet)).toThrow(expect.objectContaining({ code }));
  });

  it("carry the largest bodies in packets of at most 16384 bytes", () => {
    expect(decodePlayerPacket(publishOf(MAX_BODY_BYTES))).toMatchObject({ kind: "publish", seq: 1 });
    const body = new Uint8Array(MAX_BODY_BYTES);
    expect(encode({ kind: "deliver", offset: 1, from: 1, to: 0, body }).byteLength).toBe(MAX_PLAYER_PACKET_BYTES);
    const datagram = encode({ kind: "datagram", member: 0, body: new Uint8Array(MAX_DATAGRAM_BYTES) });
    expect(datagram.byteLength).toBe(MAX_PLAYER_PACKET_BYTES);
  });

  it("are decoded to what was encoded", () => {
    fc.assert(
      fc.property(playerPackets, (packet) => {
        expect(decodePlayerPacket(encode(packet))).toEqual(packet);
      }),
      { numRuns: 1000 },
    );
  });

  it("accept the names that a room may have, and no others", () => {
    expect(["lobby", "r.1-A_z", "r".repeat(64), "...", ".a", "..a"].every(isRoomName)).toBe(true);
    expect(["", "r".repeat(65), "a b", "a/b", "a\n", "é", ".", ".."].some(isRoomName)).toBe(false);
  });
});

function publishOf(bodyBytes: number): Uint8Array {
  return new PacketBytes().u64(1).u32(0).bytes(new Uint8Array(bodyBytes)).packet(258);
}
