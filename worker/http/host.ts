import type { Context, MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

/**
 * Whether a request with a cookie was made by a page of this host (OWASP CSRF Prevention, "Verifying Origin"): the host of
 * its Origin is the request's host. Browsers send an Origin with every POST and DELETE, so a request without one is refused.
 *
 * A page of another site cannot set X-Forwarded-Host: such a header needs a preflight, and none is granted.
 */
export function isSameOrigin(c: Context): boolean {
  const origin = parseUrl(c.req.header("Origin"));
  if (origin === null || origin.host === "") return false;
  // Parsed with the origin's scheme, so that for https ":443" equals no port.
  return origin.host === parseUrl(`${origin.protocol}//${requestHost(c)}`)?.host;
}

/**
 * The host that a browser requested: X-Forwarded-Host if there is one, otherwise Host. Any client but a browser can forge
 * both, so this protects browsers only.
 */
export function requestHost(c: Context): string {
  return c.req.header("X-Forwarded-Host") ?? c.req.header("Host") ?? new URL(c.req.url).host;
}

function parseUrl(text: string | undefined): URL | null {
  return text === undefined ? null : URL.parse(text);
}

/** What in a URL ends a host, precedes one, or separates two. */
const NOT_IN_A_HOST = /[/?#\\@,\s]/;

/**
 * Refuses a Host header that is more than a host. workerd puts it into the request's URL as it is, so `x/healthz?` would
 * choose the route instead of the path that was requested and that a proxy has allowed.
 */
export function requirePlainHost(): MiddlewareHandler {
  return async function requirePlainHost(c, next) {
    if (NOT_IN_A_HOST.test(c.req.header("Host") ?? "")) return problem(c, "invalid", "Host: allowed is one host");
    return next();
  };
}
