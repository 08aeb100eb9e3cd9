import type { MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

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
