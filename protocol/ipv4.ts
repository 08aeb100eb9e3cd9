/**
 * The dotted form of a wire `ip`: an i32 whose most significant byte is the first octet, null for 0, which means unknown
 * (docs/wire-protocol.md, "Service packets").
 */
export function ipv4FromInt(value: number): string | null {
  if (value === 0) return null;
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** The wire form of a dotted IPv4 address, null and IPv6 (which the packets cannot carry) as 0. */
export function ipv4ToInt(address: string | null): number {
  const octets = address === null ? [] : address.split(".");
  if (octets.length !== 4) return 0;
  return octets.reduce((value, octet) => (value << 8) | (Number(octet) & 255), 0);
}
