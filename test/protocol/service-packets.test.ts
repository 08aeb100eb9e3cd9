import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, ProtocolError } from "../../protocol/packet-framing.ts";
import {
  decodeServiceKey,
  decodeServiceRequest,
  decodeServiceResponse,
  ipv4FromInt,
  ipv4ToInt,
  type ServiceResponsePacket,
  unknownTypeResponse,
  writeServiceKey,
  writeServiceRequest,
  writeServiceResponse,
} from "../../protocol/service-packets.ts";
import { failedResponse, type ServiceRequest } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { byteByByte, everySplit, splitPackets } from "../support/packets/cut-and-mutate.ts";
import { fromHex, PacketBytes, toHex } from "../support/packets/packet-bytes.ts";
import { serviceKeys, serviceRequests, serviceResponses } from "../support/packets/service-arbitraries.ts";
import {
  brokenServiceVectors,
  requestOfVector,
  responseOfVector,
  serviceKeyVectors,
  serviceRequestVectors,
  serviceResponseVectors,
} from "../support/packets/service-vectors.ts";

function encodeRequest(request: ServiceRequest): Uint8Array {
  const writer = new ByteWriter();
  writeServiceRequest(writer, request);
  return writer.finish();
}

function encodeAnswer(answer: ServiceResponsePacket): Uint8Array {
  const writer = new ByteWriter();
  writeServiceResponse(writer, answer);
  return writer.finish();
}

function encodeKey(key: string): Uint8Array {
  const writer = new ByteWriter();
  writeServiceKey(writer, key);
  return writer.finish();
}

/** The answer that the contract gives to a packet, in the words of the vectors. */
function answerInWords(bytes: Uint8Array): string {
  try {
    const [packet] = splitPackets(MAX_SERVICE_PACKET_BYTES, [bytes]);
    const decoded = decodeServiceRequest(packet ?? bytes);
    if (decoded.kind === "unknown") return "ErrorResponse(Invalid), goes on";
    if (decoded.kind !== "invalid") return `a valid ${decoded.kind}`;
    const response = failedResponse(decoded.request, Status.Invalid);
    return `Session${response.kind[0]?.toUpperCase()}${response.kind.slice(1)}Response(Invalid)`;
  } catch (error) {
    if (error instanceof ProtocolError && error.code.startsWith("size_")) return "ErrorResponse(Invalid), close";
    throw error;
  }
}

describe("service packets", () => {
  describe.each([
    ...serviceRequestVectors.map((vector) => ({
      name: vector.packet,
      vector,
      encoded: () => encodeRequest(requestOfVector(vector)),
      decode: (packet: Uint8Array): unknown => decodeServiceRequest(packet),
      value: requestOfVector(vector) as unknown,
    })),
    ...serviceKeyVectors.map((vector) => ({
      name: vector.packet,
      vector,
      encoded: () => encodeKey(vector.fields.key ?? ""),
      decode: (packet: Uint8Array): unknown => decodeServiceKey(packet),
      value: vector.fields.key as unknown,
    })),
    ...serviceResponseVectors.map((vector) => ({
      name: vector.packet,
      vector,
      encoded: () => encodeAnswer(responseOfVector(vector)),
      decode: (packet: Uint8Array): unknown => decodeServiceResponse(packet),
      value: responseOfVector(vector) as unknown,
    })),
  ])("vector $vector.hex ($name)", ({ vector, encoded, decode, value }) => {
    const bytes = fromHex(vector.hex);

    it("is encoded as the bytes of the vector", () => {
      expect(toHex(encoded())).toBe(vector.hex);
    });

    it("is decoded whole, byte by byte and split at every position", () => {
      for (const chunks of [[bytes], byteByByte(bytes), ...everySplit(bytes)]) {
        expect(splitPackets(MAX_SERVICE_PACKET_BYTES, chunks).map(decode)).toEqual([value]);
      }
    });

    it("is decoded in front of the start of the next packet, which stays buffered", () => {
      const next = fromHex("0400");
      expect(splitPackets(MAX_SERVICE_PACKET_BYTES, [Buffer.concat([bytes, next])]).map(decode)).toEqual([value]);
    });

    it("is decoded from a pooled Buffer, which sockets deliver", () => {
      expect(decode(Buffer.from(bytes))).toEqual(value);
    });
  });

  it.each(brokenServiceVectors)("are malformed ($why) and decoded to $expect", ({ hex, expect: expected }) => {
    expect(answerInWords(fromHex(hex))).toBe(expected);
  });

  it.each([
    ["a register for a browser account", new PacketBytes().i32(7).i32(0).string("web:kim").packet(3), "register"],
    ["an issue for a browser account", new PacketBytes().i32(0).string("web:").packet(9), "issue"],
    ["a resource of 513 bytes", new PacketBytes().i32(7).string("r".repeat(513)).packet(11), "checkAccess"],
    ["a count with a payload", new PacketBytes().u8(0).packet(7), "count"],
    ["an id of surrogates", new PacketBytes().i32(7).i32(0).u16(3).bytes(fromHex("eda080")).packet(5), "delete"],
  ])("%s is invalid", (_, packet, request) => {
    expect(decodeServiceRequest(packet)).toMatchObject({ kind: "invalid", request });
  });

  it("accept ids and resources up to their caps, and a byte order mark as part of an id", () => {
    const user = `\ufeff${"a".repeat(125)}`;
    const register = new PacketBytes().i32(1).i32(0).string(user).packet(3);
    expect(decodeServiceRequest(register)).toEqual({ kind: "register", sessid: 1, ip: null, user });
    const resource = "r".repeat(512);
    const access = new PacketBytes().i32(1).string(resource).packet(11);
    expect(decodeServiceRequest(access)).toEqual({ kind: "checkAccess", sessid: 1, resource });
  });

  it("are an identify without a resource if the resource is empty", () => {
    const token = Uint8Array.from({ length: 20 }, (_, index) => index);
    const request = new PacketBytes().bytes(token).string("").packet(13);
    expect(decodeServiceRequest(request)).toEqual({ kind: "identify", token });
  });

  it.each([0, 4, 16, 19, 21, 27, 32])("have no identify with a token of %i bytes", (length) => {
    for (const resource of ["", "room:lobby", "r".repeat(512)]) {
      const packet = new PacketBytes().bytes(new Uint8Array(length).fill(0xa5)).string(resource).packet(13);
      expect(decodeServiceRequest(packet)).toMatchObject({ kind: "invalid", request: "identify" });
    }
  });

  it("have no identify that names nobody and is Ok", () => {
    for (const response of [
      new PacketBytes().i8(0).i32(0).string("kim").packet(14),
      new PacketBytes().i8(0).i32(7).string("").packet(14),
      new PacketBytes().i8(0).i32(7).string("u".repeat(129)).packet(14),
    ]) {
      expect(() => decodeServiceResponse(response)).toThrow(ProtocolError);
    }
  });

  it("have an ErrorResponse that names an unknown type", () => {
    expect(unknownTypeResponse(77, Status.Invalid)).toEqual(
      responseOfVector(serviceResponseVectors.find((vector) => vector.packet === "ErrorResponse") ?? fail()),
    );
  });

  it.each([
    ["of another type", new PacketBytes().string("k").packet(1)],
    ["without a key", new PacketBytes().packet(18)],
    ["with an empty key", new PacketBytes().string("").packet(18)],
    ["with a key of 256 bytes", new PacketBytes().string("k".repeat(256)).packet(18)],
    ["with a byte too many", new PacketBytes().string("k").u8(0).packet(18)],
    ["with bad UTF-8", new PacketBytes().u16(3).bytes(fromHex("eda080")).packet(18)],
  ])("with a service key %s are malformed, and the error does not contain the key", (_, packet) => {
    expect(() => decodeServiceKey(packet)).toThrow(ProtocolError);
    expect(() => decodeServiceKey(packet)).not.toThrow(/kkk/);
  });

  it("throw for responses that no server may send", () => {
    expect(() => decodeServiceResponse(new PacketBytes().i8(7).packet(2))).toThrow(ProtocolError);
    expect(() => decodeServiceResponse(new PacketBytes().i8(-1).packet(2))).toThrow(ProtocolError);
    expect(() => decodeServiceResponse(new PacketBytes().i8(0).packet(1))).toThrow(ProtocolError);
    expect(() => decodeServiceResponse(new PacketBytes().i8(0).u8(0).packet(2))).toThrow(ProtocolError);
  });

  it("are decoded to the request or response that was encoded", () => {
    fc.assert(
      fc.property(serviceRequests, (value) => {
        expect(decodeServiceRequest(encodeRequest(value))).toEqual(value);
      }),
    );
    fc.assert(
      fc.property(serviceKeys, (value) => {
        expect(decodeServiceKey(encodeKey(value))).toBe(value);
      }),
    );
    fc.assert(
      fc.property(serviceResponses, (value) => {
        expect(decodeServiceResponse(encodeAnswer(value))).toEqual(value);
      }),
    );
  });
});

function fail(): never {
  throw new Error("the vector is missing");
}

describe("the ip of a packet", () => {
  it("has the first octet in the most significant byte", () => {
    expect(ipv4ToInt("192.168.0.1") >>> 0).toBe(0xc0a80001);
    expect(ipv4FromInt(0xc0a80001 | 0)).toBe("192.168.0.1");
    expect(ipv4ToInt("255.255.255.255")).toBe(-1);
  });

  it("is unknown if it is 0", () => {
    expect(ipv4FromInt(0)).toBeNull();
    expect(ipv4ToInt(null)).toBe(0);
  });

  it.each(["2001:db8::1", "::ffff:10.0.0.1", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.x", "1e1.0.0.1", ""])(
    "has no wire form for %j",
    (address) => {
      expect(ipv4ToInt(address)).toBe(0);
    },
  );

  it("is decoded to the address that was encoded", () => {
    fc.assert(fc.property(fc.ipV4(), (address) => (ipv4FromInt(ipv4ToInt(address)) ?? "0.0.0.0") === address));
  });
});
