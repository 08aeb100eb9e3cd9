import { createHmac } from "node:crypto";

/** Signs the cookies of the servers that are measured, and of nothing else: what they guard is made up. */
export const SECRET = "a secret for measuring alone";

/** The cookie header of a session id, signed as express-session does (cookie-signature). */
export function expressCookie(id: string): string {
  const signature = createHmac("sha256", SECRET).update(id).digest("base64").replace(/=+$/, "");
  return `Cookie: connect.sid=${encodeURIComponent(`s:${id}.${signature}`)}`;
}

/** The cookie header of a session id, signed as hono/cookie does. */
export function honoCookie(id: string): string {
  const signature = createHmac("sha256", SECRET).update(id).digest("base64");
  return `Cookie: sid=${encodeURIComponent(`${id}.${signature}`)}`;
}
