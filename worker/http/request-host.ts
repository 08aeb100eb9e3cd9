import type { Context } from "hono";

/**
 * The host that a browser asked for: X-Forwarded-Host where a proxy says so, otherwise Host. Only for what a browser could do
 * to itself: anybody else writes what he likes.
 */
export function requestHost(c: Context): string {
  return c.req.header("X-Forwarded-Host") ?? c.req.header("Host") ?? new URL(c.req.url).host;
}
