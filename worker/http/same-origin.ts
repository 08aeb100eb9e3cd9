import type { Context } from "hono";

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
