import { isIPv4 } from "node:net";

/** An independent writer of PROXY headers, from the text of HAProxy's specification. */

export interface Ends {
  readonly source: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** A TLV of version 2. */
export type Extension = readonly [type: number, value: Uint8Array];

/** What of a header of version 2 a test chooses. By default TCP over IPv4, as HAProxy's send-proxy-v2. */
export interface BinaryHeader {
  readonly versionAndCommand?: number;
  readonly family?: number;
  readonly addresses?: Uint8Array;
  readonly extensions?: readonly Extension[];
  /** Puts a checksum behind the extensions. */
  readonly checksum?: boolean;
  /** What the length field says; by default the truth. */
  readonly length?: number;
}

export function lineHeader(text: string): Uint8Array {
  return Buffer.from(`${text}\r\n`, "latin1");
}

export function clientLine({ source, destination, sourcePort = 56324, destinationPort = 443 }: Ends): Uint8Array {
  const version = isIPv4(source) ? 4 : 6;
  return lineHeader(`PROXY TCP${version} ${source} ${destination ?? source} ${sourcePort} ${destinationPort}`);
}

export function binaryHeader(header: BinaryHeader = {}): Uint8Array {
  const { versionAndCommand = 0x21, family = 0x11, addresses = ipv4Block("192.0.2.1"), extensions = [] } = header;
  const tlvs = extensions.map(([type, value]) => Buffer.concat([Buffer.of(type), u16(value.byteLength), value]));
  if (header.checksum === true) tlvs.push(Buffer.from([0x03, 0, 4, 0, 0, 0, 0]));
  const body = Buffer.concat([addresses, ...tlvs]);
  const start = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
  const length = header.length ?? body.byteLength;
  const bytes = Buffer.concat([start, Buffer.of(versionAndCommand, family), u16(length), body]);
  if (header.checksum === true) bytes.writeUInt32BE(crc32c(bytes), bytes.byteLength - 4);
  return bytes;
}

/** Both ends of TCP over IPv4. */
export function ipv4Block(source: string, destination = "198.51.100.1"): Uint8Array {
  const octets = [source, destination].flatMap((address) => address.split(".").map(Number));
  return Buffer.concat([Buffer.from(octets), u16(56324), u16(443)]);
}

/** Both ends of TCP over IPv6, each as eight groups. */
export function ipv6Block(source: readonly number[], destination: readonly number[] = source): Uint8Array {
  return Buffer.concat([...source, ...destination, 56324, 443].map(u16));
}

function u16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

/** Bit by bit, as the division of polynomials that it is: slower than a table, and nothing like one. */
function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffffn;
  for (const byte of bytes) {
    remainder ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++)
      remainder = (remainder & 1n) === 1n ? (remainder >> 1n) ^ 0x82f63b78n : remainder >> 1n;
  }
  return Number(remainder ^ 0xffffffffn);
}
