import type { MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/**
 * Refuses a body that is not UTF-8. Read as text it would be repaired, so that two users whose bytes differ would become
 * one; a packet with the same bytes is Invalid.
 */
export function requireUtf8(): MiddlewareHandler {
  return async function requireUtf8(c, next) {
    try {
      utf8.decode(await c.req.arrayBuffer());
    } catch {
      return problem(c, "invalid", "body: allowed is UTF-8");
    }
    return next();
  };
}
