/**
 * The dotted form of a wire `ip`: an i32 whose most significant byte is the first octet, null for 0, which means unknown
 * (docs/wire-protocol.md, "Service packets").
 */
export function ipv4FromInt(value: number): string | null {
  if (value === 0) return null;
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** Four decimal octets and nothing else: an IPv4-mapped IPv6 address ends in them too. */
const DOTTED = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** The wire form of a dotted IPv4 address; null and IPv6, which the packets cannot carry, are 0: unknown. */
export function ipv4ToInt(address: string | null): number {
  const octets =
    DOTTED.exec(address ?? "")
      ?.slice(1)
      .map(Number) ?? [];
  if (octets.length !== 4 || octets.some((octet) => octet > 255)) return 0;
  return octets.reduce((value, octet) => (value << 8) | octet, 0);
}
