import type { Context } from "hono";
import * as v from "valibot";
import type { Settings } from "../settings.ts";

const IpAddress = v.pipe(v.string(), v.ip());

/**
 * The address that a request came from: who connected, and where that is one of TRUSTED_PROXIES, the last address in
 * X-Forwarded-For that is none. null if there is no such IP address.
 */
export function clientAddress(c: Context, { trustedProxies }: Pick<Settings, "trustedProxies">): string | null {
  const hops = (c.req.header("X-Forwarded-For") ?? "").split(",").map((hop) => hop.trim());
  const address = [...hops, connectedAddress(c)].findLast((hop) => !trustedProxies.includes(hop));
  // Without a trusted proxy only who connected counts: anybody can write X-Forwarded-For.
  return v.is(IpAddress, address) ? address : null;
}

/**
 * Who connected. Self-hosted, workerd says it in `cf.clientIp`, with the port, and a header may say anything. Cloudflare says it in
 * CF-Connecting-IP, whatever a client sent.
 */
function connectedAddress(c: Context): string {
  const { cf } = c.req.raw as { readonly cf?: { readonly clientIp?: string } };
  if (cf?.clientIp === undefined) return c.req.header("CF-Connecting-IP") ?? "";
  return cf.clientIp.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

/**
 * What limits count by: an IPv4 address, or an IPv6 network of 64 bits, for that is what one household or one server has.
 * All whose address is unknown are one.
 */
export function addressKey(address: string | null): string {
  if (address === null) return "unknown";
  const ipv4 = /^(?:::ffff:)?([\d.]+)$/i.exec(address)?.[1];
  if (ipv4 !== undefined) return ipv4;
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  // An IPv4 address at the end stands for two groups; neither reaches the first four unless "::" is at the start.
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const width = after.length + (address.includes(".") ? 1 : 0);
  const full =
    tail === undefined ? groups : [...groups, ...Array(Math.max(0, 8 - groups.length - width)).fill("0"), ...after];
  return full
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}

/** The network of an address, for what an address alone does not bound: of IPv6 48 bits, which one customer can have. */
export function networkKey(address: string | null): string {
  const key = addressKey(address);
  return key.includes(":") ? `${key.split(":", 3).join(":")}::/48` : key;
}
