import type { Context, MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

/**
 * Whether a request that a browser's cookie speaks for was made by a page of this very host (OWASP CSRF Prevention,
 * "Verifying Origin"): Origin's host is the request's host. A request without an Origin is not: every browser sends one
 * with a POST or DELETE.
 *
 * A page of another site cannot set X-Forwarded-Host: the preflight that a header of its own needs is never granted.
 */
export function isSameOrigin(c: Context): boolean {
  const origin = parseUrl(c.req.header("Origin"));
  if (origin === null || origin.host === "") return false;
  // Parsed with the origin's scheme, ":443" and no port compare as equal where they are.
  return origin.host === parseUrl(`${origin.protocol}//${requestHost(c)}`)?.host;
}

/**
 * The host that a browser asked for: X-Forwarded-Host where a proxy says so, otherwise Host. Only for what a browser could do
 * to itself: anybody else writes what he likes.
 */
export function requestHost(c: Context): string {
  return c.req.header("X-Forwarded-Host") ?? c.req.header("Host") ?? new URL(c.req.url).host;
}

function parseUrl(text: string | undefined): URL | null {
  return text === undefined ? null : URL.parse(text);
}

/** What ends a host in a URL, begins one after it, or stands between two. */
const NOT_IN_A_HOST = /[/?#\\@,\s]/;

/**
 * Refuses a Host header that is more than a host. workerd puts it into the request's URL as it is, so `x/healthz?` would
 * choose the route in place of the path that was asked for, and that a proxy has judged.
 */
export function requirePlainHost(): MiddlewareHandler {
  return async function requirePlainHost(c, next) {
    if (NOT_IN_A_HOST.test(c.req.header("Host") ?? "")) return problem(c, "invalid", "Host: allowed is one host");
    return next();
  };
}
