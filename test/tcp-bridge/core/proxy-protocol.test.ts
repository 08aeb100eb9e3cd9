import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  MAX_PROXY_HEADER_BYTES,
  type ProxyHeader,
  ProxyHeaderReader,
} from "../../../tcp-bridge/core/proxy-protocol.ts";
import { byteByByte, everySplit, mutateBytes } from "../../support/packets/cut-and-mutate.ts";
import { binaryHeader, clientLine, ipv4Block, ipv6Block, lineHeader } from "../../support/packets/proxy-headers.ts";
import { seededRandom } from "../../support/random.ts";

const IPV6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7];
const noop = (bytes: number) => [0x04, new Uint8Array(bytes)] as const;

/** What a reader says of chunks that come in this order; `rest` has all that followed the header. */
function read(chunks: readonly Uint8Array[]): ProxyHeader {
  const reader = new ProxyHeaderReader();
  for (const [at, chunk] of chunks.entries()) {
    const header = reader.push(chunk);
    if (header.kind === "incomplete") continue;
    if (header.kind === "invalid") return header;
    return { ...header, rest: Buffer.concat([header.rest, ...chunks.slice(at + 1)]) };
  }
  return { kind: "incomplete" };
}

/** Every way to cut the bytes in two; of long ones those at both ends. */
function manySplits(bytes: Uint8Array): Uint8Array[][] {
  const splits = everySplit(bytes);
  return splits.length <= 600 ? splits : [...splits.slice(0, 60), ...splits.slice(-60)];
}

const client = (address: string, port = 56324) => ({ kind: "client", address, port });
const LOCAL = { kind: "local" };

const HEADERS: readonly [name: string, header: Uint8Array, expected: object][] = [
  ["version 1 over IPv4", lineHeader("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443"), client("192.0.2.1")],
  ["version 1 over IPv6", lineHeader("PROXY TCP6 2001:db8::7 2001:DB8::1 1 65535"), client("2001:db8::7", 1)],
  ["version 1 with a mapped address", lineHeader("PROXY TCP6 ::ffff:192.0.2.1 ::1 0 0"), client("::ffff:192.0.2.1", 0)],
  [
    "the longest line of version 1",
    lineHeader(`PROXY TCP6 ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535`),
    client("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
  ],
  ["version 1 of an unknown client", lineHeader("PROXY UNKNOWN"), LOCAL],
  ["version 1 of an unknown client with 107 bytes", lineHeader(`PROXY UNKNOWN ${"f".repeat(91)}`), LOCAL],
  ["version 2 over IPv4", binaryHeader(), client("192.0.2.1")],
  ["version 2 over IPv6", binaryHeader({ family: 0x21, addresses: ipv6Block(IPV6) }), client("2001:db8::7")],
  ["version 2 with a checksum", binaryHeader({ checksum: true }), client("192.0.2.1")],
  [
    "version 2 with extensions and a checksum",
    binaryHeader({
      extensions: [
        [0x02, Buffer.from("game.example")],
        [0x20, Buffer.alloc(300, 1)],
      ],
      checksum: true,
    }),
    client("192.0.2.1"),
  ],
  ["the longest of version 2", binaryHeader({ extensions: [noop(MAX_PROXY_HEADER_BYTES - 31)] }), client("192.0.2.1")],
  ["LOCAL", binaryHeader({ versionAndCommand: 0x20, family: 0, addresses: Buffer.alloc(0) }), LOCAL],
  ["LOCAL with a block that means nothing", binaryHeader({ versionAndCommand: 0x20, family: 0xff }), LOCAL],
  ["an unspecified family", binaryHeader({ family: 0x00, addresses: Buffer.alloc(7, 1) }), LOCAL],
  ["an unspecified transport", binaryHeader({ family: 0x10 }), LOCAL],
  ["a Unix socket", binaryHeader({ family: 0x31, addresses: Buffer.alloc(216, 65) }), LOCAL],
];

const BROKEN: readonly [name: string, header: Uint8Array, reason: string][] = [
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "signature"],
  ["a TLS ClientHello", Buffer.of(0x16, 0x03, 0x01), "signature"],
  ["a packet of a game server", Buffer.of(8, 0, 1, 0, 7, 0, 0, 0), "signature"],
  ["small letters", lineHeader("proxy TCP4 192.0.2.1 192.0.2.2 1 2"), "signature"],
  ["two spaces", lineHeader("PROXY TCP4  192.0.2.1 192.0.2.2 1 2"), "addresses"],
  ["a space at the end", lineHeader("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 "), "addresses"],
  ["a bare line feed", lineHeader("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\nX"), "addresses"],
  ["IPv6 in TCP4", lineHeader("PROXY TCP4 ::1 ::1 1 2"), "addresses"],
  ["IPv4 in TCP6", lineHeader("PROXY TCP6 192.0.2.1 192.0.2.2 1 2"), "addresses"],
  ["a zone", lineHeader("PROXY TCP6 fe80::1%eth0 fe80::2 1 2"), "addresses"],
  ["an octet with a zero in front", lineHeader("PROXY TCP4 192.0.2.01 192.0.2.2 1 2"), "addresses"],
  ["no destination", lineHeader("PROXY TCP4 192.0.2.1 1 2"), "addresses"],
  ["a port over 65535", lineHeader("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2"), "addresses"],
  ["a port with a zero in front", lineHeader("PROXY TCP4 192.0.2.1 192.0.2.2 1 02"), "addresses"],
  ["a negative port", lineHeader("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2"), "addresses"],
  ["another protocol", lineHeader("PROXY UDP4 192.0.2.1 192.0.2.2 1 2"), "family"],
  ["UNKNOWN that goes on", lineHeader("PROXY UNKNOWNX"), "family"],
  ["a line of 108 bytes", lineHeader(`PROXY UNKNOWN ${"f".repeat(92)}`), "too_long"],
  ["a line that has not ended after 107 bytes", Buffer.from(`PROXY TCP4 ${"1".repeat(96)}`), "too_long"],
  ["a line that never ends", Buffer.from(`PROXY TCP4 ${"1".repeat(5000)}`), "too_long"],
  ["version 3", binaryHeader({ versionAndCommand: 0x31 }), "version"],
  ["an unknown command", binaryHeader({ versionAndCommand: 0x22 }), "command"],
  ["an unknown family", binaryHeader({ family: 0x41, addresses: Buffer.alloc(36) }), "family"],
  ["an unknown transport", binaryHeader({ family: 0x13 }), "family"],
  ["UDP", binaryHeader({ family: 0x12 }), "family"],
  ["addresses that are too short", binaryHeader({ addresses: Buffer.alloc(11) }), "addresses"],
  ["IPv4 in IPv6", binaryHeader({ family: 0x21 }), "addresses"],
  ["a length over the bound", binaryHeader({ extensions: [noop(MAX_PROXY_HEADER_BYTES - 30)] }), "too_long"],
  ["the longest length", binaryHeader({ length: 0xffff }), "too_long"],
  ["LOCAL of the longest length", binaryHeader({ versionAndCommand: 0x20, length: 0xffff }), "too_long"],
  [
    "half an extension",
    binaryHeader({ addresses: Buffer.concat([ipv4Block("192.0.2.1"), Buffer.of(4, 0)]) }),
    "extensions",
  ],
  [
    "an extension that ends behind the header",
    binaryHeader({ addresses: Buffer.concat([ipv4Block("192.0.2.1"), Buffer.of(4, 0, 2, 1)]) }),
    "extensions",
  ],
  ["a wrong checksum", binaryHeader({ extensions: [[0x03, Buffer.from("nope")]] }), "checksum"],
  ["a checksum of three bytes", binaryHeader({ extensions: [[0x03, Buffer.alloc(3)]] }), "extensions"],
  ["two checksums", binaryHeader({ extensions: [[0x03, Buffer.alloc(4)]], checksum: true }), "extensions"],
];

const FOLLOWING = [
  ["nothing", Buffer.alloc(0)],
  ["bytes of the client", Buffer.from("\x16\x03\x01 hello")],
  ["the same header again", undefined],
] as const;

describe("the header of a proxy", () => {
  describe.each(HEADERS)("%s", (_, header, expected) => {
    it.each(FOLLOWING)("is read wherever it is cut, and %s follows it", (_name, following) => {
      const rest = following ?? Buffer.from(header);
      const whole = Buffer.concat([header, rest]);
      for (const chunks of [[whole], byteByByte(whole), ...manySplits(whole)]) {
        const header = read(chunks);
        expect({ ...header, rest: Buffer.from("rest" in header ? header.rest : "none") }).toEqual({
          ...expected,
          rest,
        });
      }
    });

    it("is incomplete until its last byte", () => {
      const reader = new ProxyHeaderReader();
      const kinds = byteByByte(header).map((byte) => reader.push(byte).kind);
      expect(new Set(kinds.slice(0, -1))).toEqual(new Set(["incomplete"]));
      expect(kinds.at(-1)).not.toBe("incomplete");
    });
  });

  it.each(BROKEN)("is refused, wherever it is cut: %s", (_, header, reason) => {
    for (const chunks of [[header], byteByByte(header), ...manySplits(header)]) {
      expect(read(chunks)).toEqual({ kind: "invalid", reason });
    }
  });

  it("is refused at the first byte that cannot be one, and when its length is known", () => {
    expect(read([Buffer.from("PROXX")])).toEqual({ kind: "invalid", reason: "signature" });
    expect(read([Buffer.from("\r\n\r\n\r")])).toEqual({ kind: "invalid", reason: "signature" });
    expect(read([binaryHeader({ length: 0xffff }).subarray(0, 16)])).toEqual({ kind: "invalid", reason: "too_long" });
  });

  test("names any client, whatever extensions it has, in both versions", () => {
    const ends = fc.record({ source: fc.ipV4(), destination: fc.ipV4() });
    const extension = fc.tuple(
      fc.integer({ min: 0, max: 255 }).filter((type) => type !== 3),
      fc.uint8Array({ maxLength: 64 }),
    );
    fc.assert(
      fc.property(
        ends,
        fc.array(extension, { maxLength: 8 }),
        fc.boolean(),
        fc.uint8Array(),
        (pair, extensions, checksum, rest) => {
          const { source, destination } = pair;
          const binary = binaryHeader({ addresses: ipv4Block(source, destination), extensions, checksum });
          for (const header of [binary, clientLine({ source, destination })]) {
            expect(read([Buffer.concat([header, rest])])).toEqual({
              ...client(source),
              rest: Buffer.from(rest),
            });
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("names any IPv6 client the same in both versions", () => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, (source) => {
        const text = source.map((group) => group.toString(16)).join(":");
        const [binary, line] = [
          read([binaryHeader({ family: 0x21, addresses: ipv6Block(source) })]),
          read([clientLine({ source: text })]),
        ];
        const addresses = [binary, line].map((header) =>
          header.kind === "client" ? canonical(header.address) : header,
        );
        expect(addresses).toEqual([canonical(text), canonical(text)]);
      }),
      { numRuns: 300 },
    );
  });

  test("with damage is refused, incomplete or names someone, and holds no more than its bound", () => {
    for (let seed = 0; seed < 3_000; seed += 1) {
      const random = seededRandom(seed);
      const [, header = Buffer.alloc(0)] = HEADERS[random.integer(0, HEADERS.length - 1)] ?? [];
      const damaged = mutateBytes(header.subarray(0, 600), random);
      const at = random.integer(0, damaged.byteLength);
      const reader = new ProxyHeaderReader();
      const first = reader.push(damaged.subarray(0, at));
      if (first.kind === "incomplete") reader.push(damaged.subarray(at));
      expect([seed, reader.heldBytes]).toEqual([
        seed,
        expect.toSatisfy((held: number) => held <= MAX_PROXY_HEADER_BYTES),
      ]);
      expect([seed, read([damaged])]).toEqual([seed, read([damaged.subarray(0, at), damaged.subarray(at)])]);
    }
  });

  test("with one wrong bit under its checksum names nobody", () => {
    const header = binaryHeader({ extensions: [[0x05, Buffer.from("connection 7")]], checksum: true });
    // The checksum's own type and length: with another type it is none.
    const checksumAt = header.byteLength - 7;
    for (let bit = 0; bit < header.byteLength * 8; bit += 1) {
      if (bit >> 3 === checksumAt) continue;
      const damaged = Uint8Array.from(header);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect([bit, read([damaged]).kind]).not.toEqual([bit, "client"]);
    }
  });
});

/** The groups of an IPv6 address, as node:url writes them. */
function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname;
}
