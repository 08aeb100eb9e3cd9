import type { Context } from "hono";
import ipaddr from "ipaddr.js";
import * as v from "valibot";
import type { WorkerConfig } from "../config.ts";

const IpAddress = v.pipe(v.string(), v.ip());

/**
 * The IP address of the client: the peer of the connection or, if that is one of TRUSTED_PROXIES, the last address in
 * X-Forwarded-For that is not. null if that is no IP address.
 */
export function clientAddress(c: Context, { trustedProxies }: Pick<WorkerConfig, "trustedProxies">): string | null {
  const hops = (c.req.header("X-Forwarded-For") ?? "").split(",").map((hop) => hop.trim());
  const address = [...hops, peerAddress(c)].findLast((hop) => !trustedProxies.includes(hop));
  // Anybody can write X-Forwarded-For: it counts only behind a trusted proxy.
  return v.is(IpAddress, address) ? address : null;
}

/**
 * The peer of the connection. A self-hosted workerd has it in `cf.clientIp`, with the port, and leaves headers as clients send
 * them. Cloudflare overwrites CF-Connecting-IP with it.
 */
function peerAddress(c: Context): string {
  const { cf } = c.req.raw as { readonly cf?: { readonly clientIp?: string } };
  if (cf?.clientIp === undefined) return c.req.header("CF-Connecting-IP") ?? "";
  return cf.clientIp.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

/**
 * The key under which rate limits count an address: an IPv4 address, or the first 64 bits of an IPv6 address, which is what
 * one household or one server has. All unknown addresses share a key.
 */
export function addressKey(address: string | null): string {
  if (address === null || !ipaddr.isValid(address)) return "unknown";
  // An IPv4 address may come mapped into IPv6 (RFC 4291 §2.5.5.2).
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6 ? hexGroups(parsed, 64).join(":") : parsed.toString();
}

/** The same for limits that one customer must not escape by having many IPv6 networks: 48 bits, which a customer can have. */
export function networkKey(address: string | null): string {
  if (address === null || !ipaddr.isValid(address)) return "unknown";
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6 ? `${hexGroups(parsed, 48).join(":")}::/48` : parsed.toString();
}

function hexGroups({ parts }: ipaddr.IPv6, bits: number): string[] {
  return parts.slice(0, bits / 16).map((part) => part.toString(16));
}
