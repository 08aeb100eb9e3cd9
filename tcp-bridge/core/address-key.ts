import ipaddr from "ipaddr.js";

/**
 * What limits count by: an IPv4 address, or an IPv6 network of 64 bits, for that is what one household or one server has.
 * All whose address is unknown (a peer that is gone already) are one. The worker counts by the same.
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return "unknown";
  // A dual-stack port names an IPv4 peer ::ffff:10.0.0.1.
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  return parsed.parts
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":");
}
