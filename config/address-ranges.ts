import * as v from "valibot";
import { List, parseWholeNumber } from "./environment.ts";

/** An address, alone or as a network: 192.0.2.1, 10.0.0.0/8, 2001:db8::/32. */
export interface AddressRange {
  /** An IPv4 address as it is mapped into IPv6. */
  readonly address: bigint;
  /** Of IPv6: those of an IPv4 network, and 96. */
  readonly prefixBits: number;
}

const ADDRESS_BITS = 128;
/** RFC 4291 §2.5.5.2: ::ffff:0:0/96 is IPv4. */
const MAPPED_PREFIX_BITS = 96;
const MAPPED_PREFIX = 0xffffn;

/** A list of addresses and networks (CIDR) between commas, parsed; none by default. */
export const AddressRanges = v.pipe(
  List,
  v.rawTransform(({ dataset: { value }, addIssue, NEVER }): readonly AddressRange[] => {
    const ranges = value.map(parseRange);
    if (ranges.every((range) => range !== undefined)) return ranges;
    addIssue({ message: "allowed are IPv4 and IPv6 addresses and networks (10.0.0.0/8), comma-separated" });
    return NEVER;
  }),
);

/**
 * Whether an address is in one of the ranges. An IPv4 address that is mapped into IPv6 counts as IPv4, which no range of IPv6 holds.
 * The zone of an address (fe80::1%eth0) does not count.
 */
export function isInRanges(text: string, ranges: readonly AddressRange[]): boolean {
  if (ranges.length === 0) return false;
  const address = parseAddress(text.replace(/%.*$/, ""));
  if (address === undefined) return false;
  const isIpv4 = isMapped(address);
  return ranges.some(({ address: network, prefixBits }) => {
    if (isIpv4 && prefixBits < MAPPED_PREFIX_BITS) return false;
    const hostBits = BigInt(ADDRESS_BITS - prefixBits);
    return address >> hostBits === network >> hostBits;
  });
}

function parseRange(text: string): AddressRange | undefined {
  const [host = "", prefix, ...more] = text.split("/");
  const address = parseAddress(host);
  if (address === undefined || more.length > 0) return undefined;
  const addedBits = host.includes(":") ? 0 : MAPPED_PREFIX_BITS;
  const prefixBits =
    prefix === undefined ? ADDRESS_BITS - addedBits : parseWholeNumber(prefix, 0, ADDRESS_BITS - addedBits);
  return prefixBits === undefined ? undefined : { address, prefixBits: prefixBits + addedBits };
}

const Ipv4 = v.pipe(v.string(), v.ipv4());
const Ipv6 = v.pipe(v.string(), v.ipv6());

/** The 128 bits of an address, undefined for any other text. */
function parseAddress(text: string): bigint | undefined {
  if (v.safeParse(Ipv4, text).success) return (MAPPED_PREFIX << 32n) | ipv4Bits(text);
  if (text.includes("%") || !v.safeParse(Ipv6, text).success) return undefined;
  // The last four bytes may be written as an IPv4 address.
  const hexadecimal = text.replace(/[\d.]+\.\d+$/, (ipv4) => {
    const bits = ipv4Bits(ipv4);
    return `${(bits >> 16n).toString(16)}:${(bits & 0xffffn).toString(16)}`;
  });
  const [head = [], tail] = hexadecimal.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const groups = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail];
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

function ipv4Bits(text: string): bigint {
  return text.split(".").reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n);
}

function isMapped(address: bigint): boolean {
  return address >> 32n === MAPPED_PREFIX;
}
