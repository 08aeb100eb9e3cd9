import type { Context } from "hono";
import * as v from "valibot";
import { isInRanges } from "../../config/address-ranges.ts";
import type { WorkerConfig } from "../config.ts";

const IpAddress = v.pipe(v.string(), v.ip());

/**
 * The IP address of the client: the peer of the connection or, if that is one of TRUSTED_PROXIES, the last address in
 * X-Forwarded-For that is not. null if that is no IP address.
 */
export function clientAddress(c: Context, { trustedProxies }: Pick<WorkerConfig, "trustedProxies">): string | null {
  const hops = (c.req.header("X-Forwarded-For") ?? "").split(",").map((hop) => hop.trim());
  const address = [...hops, peerAddress(c.req.raw)].findLast((hop) => !isInRanges(hop, trustedProxies));
  // Anybody can write X-Forwarded-For: it counts only behind a trusted proxy.
  return v.is(IpAddress, address) ? address : null;
}

/**
 * The peer of the connection. A self-hosted workerd has it in `cf.clientIp`, with the port, and leaves headers as clients send
 * them. Cloudflare overwrites CF-Connecting-IP with it.
 */
export function peerAddress(request: Request): string {
  const { cf } = request as { readonly cf?: { readonly clientIp?: string } };
  if (cf?.clientIp === undefined) return request.headers.get("CF-Connecting-IP") ?? "";
  return cf.clientIp.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

/**
 * The key under which rate limits count an address: an IPv4 address, or the first 64 bits of an IPv6 address, which is what
 * one household or one server has. All unknown addresses share a key.
 */
export function addressKey(address: string | null): Promise<string> {
  return limitKey(address, 64, "");
}

/** The same for limits that one customer must not escape by having many IPv6 networks: 48 bits, which a customer can have. */
export function networkKey(address: string | null): Promise<string> {
  return limitKey(address, 48, "::/48");
}

async function limitKey(address: string | null, ipv6Bits: number, ipv6Suffix: string): Promise<string> {
  // Loaded when a limit first needs it, so that it adds nothing to the cold start of a check.
  const { default: ipaddr } = await import("ipaddr.js");
  if (address === null || !ipaddr.isValid(address)) return "unknown";
  // An IPv4 address may come mapped into IPv6 (RFC 4291 §2.5.5.2): it counts as IPv4.
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  const groups = parsed.parts.slice(0, ipv6Bits / 16).map((part) => part.toString(16));
  return groups.join(":") + ipv6Suffix;
}
