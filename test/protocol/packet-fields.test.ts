import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteReader, ByteWriter } from "../../protocol/packet-fields.ts";
import { PacketBytes, toHex } from "../support/packets/packet-bytes.ts";

/** The reader of a payload that the independent builder made. */
function readerOf(payload: PacketBytes): ByteReader {
  return new ByteReader(payload.packet(0), 4);
}

describe("ByteReader and ByteWriter", () => {
  it("read each field at the offset where the independent builder wrote it", () => {
    const payload = new PacketBytes()
      .u8(255)
      .i8(-1)
      .u16(65535)
      .u32(2 ** 32 - 1)
      .i32(-(2 ** 31))
      .u64(Number.MAX_SAFE_INTEGER)
      .string("é");
    const reader = readerOf(payload.bytes(Uint8Array.of(1, 2)));
    expect([
      reader.u8("a"),
      reader.i8("b"),
      reader.u16("c"),
      reader.u32("d"),
      reader.i32("e"),
      reader.u64("f"),
    ]).toEqual([255, -1, 65535, 2 ** 32 - 1, -(2 ** 31), Number.MAX_SAFE_INTEGER]);
    expect(reader.string("g", 0, 10)).toBe("é");
    expect(reader.rest()).toEqual(Uint8Array.of(1, 2));
    reader.end();
  });

  it("accept a u64 of 0..2^53-1 and no greater one", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(readerOf(new PacketBytes().u64(value)).u64("position")).toBe(value);
        expect(toHex(new ByteWriter().packet(0, (writer) => writer.u64(value)).finish())).toBe(
          toHex(new PacketBytes().u64(value).packet(0)),
        );
      }),
    );
    for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(() => readerOf(new PacketBytes().u64(value)).u64("position")).toThrow(
        expect.objectContaining({ code: "out_of_range" }),
      );
    }
  });

  it("return copies, which do not change with the chunk and do not keep it in memory", () => {
    const chunk = Buffer.from([1, 2, 3, 4]);
    const read = new ByteReader(chunk).bytes(2, "token");
    chunk.fill(0);
    expect(read).toEqual(Uint8Array.of(1, 2));
    expect(read.buffer.byteLength).toBe(2);
  });

  it("end at the end of the packet and not of its buffer", () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3, 4).subarray(0, 3));
    expect(() => reader.u32("sessid")).toThrow(expect.objectContaining({ code: "payload_too_short" }));
    expect(() => reader.end()).toThrow(expect.objectContaining({ code: "payload_too_long" }));
  });

  it("refuse a string longer than its cap before its bytes arrive", () => {
    const reader = readerOf(new PacketBytes().u16(129));
    expect(() => reader.string("id", 1, 128)).toThrow(expect.objectContaining({ code: "out_of_range" }));
  });

  it("write packets one after another into a buffer that grows", () => {
    const writer = new ByteWriter(1);
    const body = new Uint8Array(300).fill(7);
    writer
      .packet(1)
      .packet(2, () => writer.bytes(body))
      .packet(3, () => writer.string("아"));
    const expected = [
      new PacketBytes().packet(1),
      new PacketBytes().bytes(body).packet(2),
      new PacketBytes().string("아").packet(3),
    ];
    expect(writer.length).toBe(4 + 304 + 9);
    expect(toHex(writer.finish())).toBe(expected.map(toHex).join(""));
  });
});
