import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/**
 * The header that a proxy sends before a client's bytes (HAProxy's doc/proxy-protocol.txt), version 1 and 2. A machine without I/O: it
 * takes what was received and says whom the connection is for.
 *
 *     "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"                            version 1: at most 107 bytes
 *     signature 12, version and command 1, family 1, length 2, addresses, TLVs     version 2
 */
export type ProxyHeader =
  /** More bytes are needed. */
  | { readonly kind: "incomplete" }
  /** The proxy has connected for the client of this IP address and port. */
  | { readonly kind: "client"; readonly address: string; readonly port: number; readonly rest: Uint8Array }
  /** The proxy has connected for itself (a health check), or for a client without an IP address: its own address counts. */
  | { readonly kind: "local"; readonly rest: Uint8Array }
  /** No such header. Whoever has sent it must be disconnected. */
  | { readonly kind: "invalid"; readonly reason: ProxyHeaderFault };

/** What is wrong with a header. */
export type ProxyHeaderFault =
  /** Neither version begins in this way. */
  | "signature"
  /** No end of the line within 107 bytes, or a length over {@link MAX_PROXY_HEADER_BYTES}. */
  | "too_long"
  | "version"
  | "command"
  /** No TCP over IPv4 or IPv6, and none of the families for which the proxy's own address counts. */
  | "family"
  /** Addresses or ports that are none, or shorter than their family needs. */
  | "addresses"
  /** A TLV that ends behind the header, or two checksums. */
  | "extensions"
  | "checksum";

/** Section 2.1: the longest line of version 1, with its CRLF. */
const MAX_LINE_BYTES = 107;

/** The longest header of version 2. 16 + 36 + TLVs: a client's certificate may be among them. nginx takes no more either. */
export const MAX_PROXY_HEADER_BYTES = 4096;

/** Reads the header at the start of a connection. What follows it is not changed, and not kept. */
export class ProxyHeaderReader {
  #held = new Uint8Array(0);

  /** The bytes of an incomplete header. */
  get heldBytes(): number {
    return this.#held.byteLength;
  }

  /** Takes the next bytes of a connection whose header was incomplete so far. `rest` is a part of `chunk`. */
  push(chunk: Uint8Array): ProxyHeader {
    const held = this.#held.byteLength;
    const taken = chunk.subarray(0, MAX_PROXY_HEADER_BYTES - held);
    const bytes = new Uint8Array(held + taken.byteLength);
    bytes.set(this.#held);
    bytes.set(taken, held);
    const header = parse(bytes);
    switch (header.kind) {
      case "incomplete":
        this.#held = bytes;
        return header;
      case "invalid":
        return header;
      default: {
        const rest = chunk.subarray(header.length - held);
        if (header.kind === "local") return { kind: "local", rest };
        return { kind: "client", address: header.address, port: header.port, rest };
      }
    }
  }
}

/** As {@link ProxyHeader}, with the length of the header instead of what follows it. */
type ParsedHeader =
  | Extract<ProxyHeader, { kind: "incomplete" | "invalid" }>
  | { readonly kind: "client"; readonly address: string; readonly port: number; readonly length: number }
  | { readonly kind: "local"; readonly length: number };

const LINE_START = Uint8Array.from("PROXY ", (character) => character.charCodeAt(0));
/** Section 2.2: no line of text, and no request of HTTP, begins with it. */
const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);

const INCOMPLETE = { kind: "incomplete" } as const;

function parse(bytes: Uint8Array): ParsedHeader {
  if (begins(bytes, SIGNATURE)) return parseBinary(bytes);
  if (begins(bytes, LINE_START)) return parseLine(bytes);
  return invalid("signature");
}

/** Whether `bytes` begin with `start`, as far as they reach. */
function begins(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.subarray(0, bytes.byteLength).every((byte, at) => bytes[at] === byte);
}

function invalid(reason: ProxyHeaderFault): ParsedHeader {
  return { kind: "invalid", reason };
}

/** Of UNKNOWN the rest of the line means nothing. */
const LINE = /^PROXY (?:UNKNOWN(?: .*)?|TCP([46]) ([\da-fA-F:.]+) ([\da-fA-F:.]+) (\d{1,5}) (\d{1,5}))$/;

function parseLine(bytes: Uint8Array): ParsedHeader {
  const text = Buffer.from(bytes.subarray(0, MAX_LINE_BYTES)).toString("latin1");
  const end = text.indexOf("\r\n");
  if (end < 0) return bytes.byteLength < MAX_LINE_BYTES ? INCOMPLETE : invalid("too_long");
  const length = end + 2;
  const fields = LINE.exec(text.slice(0, end));
  if (fields === null) return invalid(text.startsWith("PROXY TCP") ? "addresses" : "family");
  const [, version, source, destination = "", ...ports] = fields;
  if (source === undefined) return { kind: "local", length };
  const isAddress = version === "4" ? isIPv4 : isIPv6;
  if (!isAddress(source) || !isAddress(destination) || !ports.every(isPort)) return invalid("addresses");
  return { kind: "client", address: source, port: Number(ports[0]), length };
}

function isPort(digits: string): boolean {
  return Number(digits) <= 65_535 && String(Number(digits)) === digits;
}

const HEADER_START_BYTES = 16;
const [LOCAL, PROXY] = [0, 1];
const [UNSPECIFIED, IPV4, IPV6, UNIX] = [0, 1, 2, 3];
const [STREAM, DATAGRAM] = [1, 2];
/** Two addresses and two ports. */
const IPV4_BYTES = 2 * 4 + 2 * 2;
const IPV6_BYTES = 2 * 16 + 2 * 2;

function parseBinary(bytes: Uint8Array): ParsedHeader {
  if (bytes.byteLength < HEADER_START_BYTES) return INCOMPLETE;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [versionAndCommand, familyAndTransport] = [view.getUint8(12), view.getUint8(13)];
  const length = HEADER_START_BYTES + view.getUint16(14);
  if (versionAndCommand >> 4 !== 2) return invalid("version");
  const command = versionAndCommand & 0x0f;
  if (command !== LOCAL && command !== PROXY) return invalid("command");
  if (length > MAX_PROXY_HEADER_BYTES) return invalid("too_long");
  if (bytes.byteLength < length) return INCOMPLETE;
  // Section 2.2: all that follows is skipped, the family too.
  if (command === LOCAL) return { kind: "local", length };
  const [family, transport] = [familyAndTransport >> 4, familyAndTransport & 0x0f];
  if (family > UNIX || transport >= DATAGRAM) return invalid("family");
  if (family === UNSPECIFIED || family === UNIX || transport !== STREAM) return { kind: "local", length };
  const header = bytes.subarray(0, length);
  const addressesEnd = HEADER_START_BYTES + (family === IPV6 ? IPV6_BYTES : IPV4_BYTES);
  if (length < addressesEnd) return invalid("addresses");
  const fault = checkExtensions(header, addressesEnd);
  if (fault !== undefined) return invalid(fault);
  const source = header.subarray(HEADER_START_BYTES, HEADER_START_BYTES + (family === IPV4 ? 4 : 16));
  // The two ports are last.
  const port = view.getUint16(addressesEnd - 4);
  return { kind: "client", address: ipaddr.fromByteArray([...source]).toString(), port, length };
}

/** Type and length. */
const TLV_HEADER_BYTES = 3;
const CHECKSUM_TYPE = 0x03;
const CHECKSUM_BYTES = 4;

/** Skips the TLVs (type, length, value), and verifies the checksum, if there is one (section 2.2.3). */
function checkExtensions(header: Uint8Array, start: number): ProxyHeaderFault | undefined {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  let checksumAt: number | undefined;
  for (let at = start; at < header.byteLength; ) {
    if (at + TLV_HEADER_BYTES > header.byteLength) return "extensions";
    const valueAt = at + TLV_HEADER_BYTES;
    const valueBytes = view.getUint16(at + 1);
    if (valueAt + valueBytes > header.byteLength) return "extensions";
    if (view.getUint8(at) === CHECKSUM_TYPE) {
      if (checksumAt !== undefined || valueBytes !== CHECKSUM_BYTES) return "extensions";
      checksumAt = valueAt;
    }
    at = valueAt + valueBytes;
  }
  if (checksumAt === undefined) return undefined;
  const zeroed = Uint8Array.from(header);
  zeroed.fill(0, checksumAt, checksumAt + CHECKSUM_BYTES);
  return crc32c(zeroed) === view.getUint32(checksumAt) ? undefined : "checksum";
}

/** Castagnoli's polynomial, its bits reversed (RFC 9260 appendix A). */
const CRC32C_POLYNOMIAL = 0x82f63b78;

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? CRC32C_POLYNOMIAL : 0);
  return remainder;
});

/** CRC-32C; node:zlib has only CRC-32. */
function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = (remainder >>> 8) ^ (CRC32C_TABLE[(remainder ^ byte) & 0xff] ?? 0);
  return (remainder ^ 0xffffffff) >>> 0;
}
