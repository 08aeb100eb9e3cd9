import { describe, expect, test } from "vitest";
import {
  decodeBridgeMessage,
  decodeHubMessage,
  encodeLeaseMessage,
  type LeaseMessage,
  MAX_CHANGED_SESSIDS,
  MAX_LEASE_MESSAGE_BYTES,
  renumbered,
} from "../../../protocol/leases/lease-messages.ts";
import { ProtocolError } from "../../../protocol/packet-framing.ts";
import { mutateBytes } from "../../support/packets/cut-and-mutate.ts";
import { fromHex, toHex } from "../../support/packets/packet-bytes.ts";
import { seededRandom } from "../../support/random.ts";

const MESSAGES: readonly (readonly [string, LeaseMessage])[] = [
  ["01c8000000", { kind: "welcome", boundMs: 200 }],
  ["0160ea0000", { kind: "welcome", boundMs: 60_000 }],
  ["0201000000", { kind: "changes", number: 1, sessids: [] }],
  ["02ffffffff07000000ffffffff00000080", { kind: "changes", number: 2 ** 32 - 1, sessids: [7, -1, -(2 ** 31)] }],
  ["0302000000", { kind: "reset", number: 2 }],
  ["0403000000", { kind: "granted", renewal: 3 }],
  ["05feffffff", { kind: "renew", renewal: 2 ** 32 - 2 }],
  ["0600000000", { kind: "ack", number: 0 }],
  ["07", { kind: "statusRequest" }],
  [
    "08a0860100ffffffffffff1f000100000001000000",
    { kind: "status", kept: 100_000, answered: 2 ** 53 - 1, fromMemory: 2 ** 32 + 1 },
  ],
];

function isOfBridge({ kind }: LeaseMessage): boolean {
  return kind === "renew" || kind === "ack" || kind === "status";
}

function decode(frame: Uint8Array, ofBridge: boolean): LeaseMessage {
  return ofBridge ? decodeBridgeMessage(frame) : decodeHubMessage(frame);
}

/** What a decoder says to a frame: a message, or the error's code. */
function outcome(frame: Uint8Array, ofBridge: boolean): string {
  try {
    const message = decode(frame, ofBridge);
    expect(toHex(encodeLeaseMessage(message))).toBe(toHex(frame));
    return message.kind;
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

describe("the messages of leases", () => {
  describe.each(MESSAGES)("%s", (hex, message) => {
    const bytes = fromHex(hex);
    const ofBridge = isOfBridge(message);

    test("is encoded and decoded", () => {
      expect(toHex(encodeLeaseMessage(message))).toBe(hex);
      expect(decode(bytes, ofBridge)).toEqual(message);
      expect(decode(Buffer.from(bytes), ofBridge)).toEqual(message);
    });

    test("is refused if it ends inside a field", () => {
      for (let length = 0; length < bytes.byteLength; length++) {
        // A Changes is whole after each of its sessids.
        const isWhole = message.kind === "changes" && length >= 5 && (length - 5) % 4 === 0;
        if (!isWhole) expect(() => decode(bytes.subarray(0, length), ofBridge)).toThrow(ProtocolError);
      }
    });

    test("is refused with a byte too many, and at the other end", () => {
      expect(() => decode(Uint8Array.of(...bytes, 0), ofBridge)).toThrow(ProtocolError);
      expect(() => decode(bytes, !ofBridge)).toThrow("type");
    });
  });

  test.each([
    ["type", "", false],
    ["type", "00", false],
    ["type", "0900000000", true],
    ["boundMs", "01c7000000", false],
    ["boundMs", "0161ea0000", false],
    ["boundMs", "01c80000", false],
    ["number", "020000", false],
    ["sessids", "0201000000070000", false],
    ["sessids", "020100000000000000", false],
    ["renewal", "0500", true],
    ["number", "0600", true],
    ["kept", "080000", true],
    ["answered", "0800000000000000000000", true],
    ["answered", "080000000000000000000020000000000000000000", true],
    ["fromMemory", "080000000001000000000000000200000000000000", true],
  ])("name the field %s that is wrong in %j", (field, hex, ofBridge) => {
    expect(() => decode(fromHex(hex), ofBridge)).toThrow(`${field}: `);
  });

  test("carry as many sessids as the longest message, and no more", () => {
    const sessids = Array.from({ length: MAX_CHANGED_SESSIDS }, (_, index) => index + 1);
    const frame = encodeLeaseMessage({ kind: "changes", number: 1, sessids });
    expect(frame.byteLength).toBe(MAX_LEASE_MESSAGE_BYTES);
    expect(decodeHubMessage(frame)).toEqual({ kind: "changes", number: 1, sessids });
    const longer = encodeLeaseMessage({ kind: "changes", number: 1, sessids: [...sessids, 1] });
    expect(() => decodeHubMessage(longer)).toThrow("sessids: 4097");
  });

  test("get another number without being encoded again", () => {
    const frame = encodeLeaseMessage({ kind: "changes", number: 1, sessids: [7] });
    expect(decodeHubMessage(renumbered(frame, 2 ** 32 - 1))).toEqual({
      kind: "changes",
      number: 2 ** 32 - 1,
      sessids: [7],
    });
    expect(decodeHubMessage(frame)).toMatchObject({ number: 1 });
  });

  test("survive 30,000 random and mutated frames: each is a message of one meaning, or a ProtocolError", () => {
    const random = seededRandom(1);
    const corpus = MESSAGES.map(([hex]) => fromHex(hex));
    const seen = new Set<string>();
    for (let round = 0; round < 30_000; round++) {
      const base = corpus[random.integer(0, corpus.length - 1)] ?? new Uint8Array();
      const frame = random.chance(0.3) ? random.bytes(random.integer(0, 20)) : mutateBytes(base, random);
      seen.add(outcome(frame, false)).add(outcome(frame, true));
    }
    expect([...seen].sort()).toEqual(
      [
        ...["welcome", "changes", "reset", "granted", "renew", "ack", "statusRequest", "status"],
        ...["out_of_range", "payload_too_long", "payload_too_short", "unknown_type"],
      ].sort(),
    );
  });
});
