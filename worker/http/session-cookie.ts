import type { Context } from "hono";
import { deleteCookie, setCookie } from "hono/cookie";
import { formatToken } from "../../protocol/session-token.ts";

/** The browser's cookie. The `__Host-` prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis). */
export const SESSION_COOKIE = "__Host-sid";

const VALUE = new RegExp(`(?:^|;)\\s*${SESSION_COOKIE}=([^;]*)`, "g");

/** The cookie's value. Two of them are none: no browser sends that, so one was slipped in. */
export function sessionCookie(c: Context): string | undefined {
  const [first, second] = (c.req.header("Cookie") ?? "").matchAll(VALUE);
  return second === undefined ? first?.[1]?.trim() : undefined;
}

/** Gives the browser its session until it closes: without Max-Age, so that the end of the browser is the end of it. */
export function setSessionCookie(c: Context, token: Uint8Array): void {
  setCookie(c, SESSION_COOKIE, formatToken(token), { path: "/", secure: true, httpOnly: true, sameSite: "Lax" });
}

/** Takes the session away from the browser. */
export function clearSessionCookie(c: Context): void {
  deleteCookie(c, SESSION_COOKIE, { path: "/", secure: true, httpOnly: true, sameSite: "Lax" });
}
