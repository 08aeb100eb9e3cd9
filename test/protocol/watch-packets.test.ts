import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, ProtocolError } from "../../protocol/packet-framing.ts";
import { decodeServiceRequest, unknownTypeResponse } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import {
  decodeBridgePacket,
  decodeWatchRequest,
  type WatchNotice,
  type WatchRequest,
  type WatchResponse,
  writeWatchNotice,
  writeWatchRequest,
  writeWatchResponse,
} from "../../protocol/watch-packets.ts";
import { byteByByte, everySplit, splitPackets } from "../support/packets/cut-and-mutate.ts";
import { fromHex, PacketBytes, toHex } from "../support/packets/packet-bytes.ts";
import { watchNotices, watchRequests, watchResponses } from "../support/packets/service-arbitraries.ts";
import { brokenWatchVectors, watchOfVector, watchVectors } from "../support/packets/service-vectors.ts";

function encode(value: WatchRequest | WatchResponse | WatchNotice): Uint8Array {
  const writer = new ByteWriter();
  if ("scope" in value) writeWatchRequest(writer, value);
  else if (value.kind === "watch") writeWatchResponse(writer, value.status, value.position);
  else writeWatchNotice(writer, value);
  return writer.finish();
}

const ended = (reason: number, sessid: number, position: string, user: string): Uint8Array =>
  new PacketBytes().u8(reason).i32(sessid).u64(1).string(position).string(user).packet(17);

describe("the packets of a watch", () => {
  describe.each(
    watchVectors.map((vector) => ({
      ...vector,
      value: watchOfVector(vector),
      decode: (packet: Uint8Array): unknown =>
        vector.packet === "WatchRequest" ? decodeWatchRequest(packet) : decodeBridgePacket(packet),
    })),
  )("vector $hex ($packet)", ({ hex, type, value, decode }) => {
    const bytes = fromHex(hex);

    it("is encoded as the bytes of the vector", () => {
      expect(toHex(encode(value))).toBe(hex);
    });

    it("is decoded whole, byte by byte, split at every position and from a pooled Buffer", () => {
      for (const chunks of [[bytes], [Buffer.from(bytes)], byteByByte(bytes), ...everySplit(bytes)]) {
        expect(splitPackets(MAX_SERVICE_PACKET_BYTES, chunks).map(decode)).toEqual([value]);
      }
    });

    it("is decoded in front of the start of the next packet, and twice in a row", () => {
      const stream = Buffer.concat([bytes, bytes, fromHex("0400")]);
      expect(splitPackets(MAX_SERVICE_PACKET_BYTES, [stream]).map(decode)).toEqual([value, value]);
    });

    it("is malformed with any number of bytes missing, and with a byte too many", () => {
      const payload = bytes.subarray(4);
      for (let length = 0; length < payload.byteLength; length++) {
        const shorter = new PacketBytes().bytes(payload.subarray(0, length)).packet(type);
        expect(() => decode(shorter)).toThrow(ProtocolError);
      }
      expect(() => decode(new PacketBytes().bytes(payload).u8(0).packet(type))).toThrow(ProtocolError);
    });
  });

  it.each(brokenWatchVectors)("are malformed: $why", ({ hex, expect: expected }) => {
    expect(expected).toBe("WatchResponse(Invalid)");
    expect(() => decodeWatchRequest(fromHex(hex))).toThrow(ProtocolError);
  });

  it.each([
    ["a reason that this version does not know", ended(5, 7, "p", "")],
    ["an end of the session 0", ended(1, 0, "p", "")],
    ["an end without a position", ended(1, 7, "", "")],
    ["a position of 97 bytes", ended(1, 7, "p".repeat(97), "")],
    ["a user of 129 bytes", ended(1, 7, "p", "u".repeat(129))],
    ["a checkpoint with a session", ended(0, 7, "p", "")],
    ["a reset with a user", ended(4, 0, "p", "kim")],
    ["a reset without a position", ended(4, 0, "", "")],
    [
      "a time beyond 2^53-1",
      new PacketBytes()
        .u8(1)
        .i32(7)
        .u64(2n ** 53n)
        .string("p")
        .string("")
        .packet(17),
    ],
    ["a status that this version does not know", new PacketBytes().i8(7).string("").packet(16)],
    ["a request", encode({ scope: "all", after: null })],
  ])("have no meaning to a game server: %s", (_, packet) => {
    expect(() => decodeBridgePacket(packet)).toThrow(ProtocolError);
  });

  it("are decoded beside the responses to other requests", () => {
    expect(decodeBridgePacket(new PacketBytes().u8(0).packet(2))).toEqual({ kind: "check", status: Status.Ok });
    expect(() => decodeWatchRequest(new PacketBytes().i32(7).packet(1))).toThrow(ProtocolError);
  });

  it("are not for an edge, which says so", () => {
    const packet = encode({ scope: "all", after: null });
    expect(decodeServiceRequest(packet)).toEqual({ kind: "unknown", type: 15 });
    expect(unknownTypeResponse(15, Status.Invalid).message).toMatch("only a bridge has watches");
  });

  it("are at most 1024 bytes long", () => {
    const longest: WatchNotice = { kind: "reset", at: Number.MAX_SAFE_INTEGER, position: "p".repeat(96) };
    const end = { ...longest, kind: "ended", reason: "evicted", sessid: -1, user: "u".repeat(128) } as const;
    expect(encode(end).byteLength).toBeLessThanOrEqual(MAX_SERVICE_PACKET_BYTES);
  });

  it("are those of the examples in docs/wire-protocol.md, each a whole packet", () => {
    const page = readFileSync(new URL("../../docs/wire-protocol.md", import.meta.url), "utf8");
    const examples = [...page.matchAll(/^(->|<-) ([0-9a-f ]+)$/gm)].map(([, arrow, hex = ""]) => {
      const [packet = new Uint8Array(), ...more] = splitPackets(MAX_SERVICE_PACKET_BYTES, [
        fromHex(hex.replaceAll(" ", "")),
      ]);
      expect(more).toEqual([]);
      if (arrow === "<-") return decodeBridgePacket(packet);
      const request = decodeServiceRequest(packet);
      return request.kind === "unknown" ? decodeWatchRequest(packet) : request;
    });
    expect(examples).toContainEqual({ scope: "all", after: "1763775133000-0_0_k" });
    expect(examples).toContainEqual(
      expect.objectContaining({ kind: "ended", reason: "deleted", sessid: 7, user: "kim" }),
    );
    expect(examples).toContainEqual({ kind: "watch", status: Status.NotFound, position: "1763779999999-0_5_b2" });
    expect(examples.filter((example) => "kind" in example && example.kind === "invalid")).toEqual([]);
  });

  it("are decoded to what was encoded", () => {
    fc.assert(
      fc.property(watchRequests, (value) => {
        expect(decodeWatchRequest(encode(value))).toEqual(value);
      }),
    );
    fc.assert(
      fc.property(fc.oneof(watchResponses, watchNotices), (value) => {
        expect(decodeBridgePacket(encode(value))).toEqual(value);
      }),
    );
  });
});
