import type { MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

/** What in a URL ends a host, precedes one, or separates two. */
const NOT_IN_A_HOST = /[/?#\\@,\s]/;

/** What a request is refused with that has no plain host. */
export const PLAIN_HOST_RULE = "Host: allowed is one host";

/**
 * Whether a Host header is a host and no more. workerd puts it into the request's URL as it is, so `x/healthz?` would choose the
 * route instead of the path that was requested and that a proxy has allowed.
 */
export function isPlainHost(host: string | null | undefined): boolean {
  return !NOT_IN_A_HOST.test(host ?? "");
}

/** Refuses a Host header that is no plain host. */
export function requirePlainHost(): MiddlewareHandler {
  return async function requirePlainHost(c, next) {
    return isPlainHost(c.req.header("Host")) ? next() : problem(c, "invalid", PLAIN_HOST_RULE);
  };
}
