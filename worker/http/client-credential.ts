import type { Context } from "hono";
import { deleteCookie, setCookie } from "hono/cookie";
import { formatToken, parseToken, splitToken } from "../../protocol/session-token.ts";
import { readSubprotocols } from "../../protocol/web-socket-subprotocol.ts";
import { hashSecret } from "../session-store/secrets.ts";

/** What a client shows of a session, as it shows it. */
export interface ClientToken {
  readonly sessid: number;
  readonly secret: Uint8Array<ArrayBuffer>;
  /** Whether it came as a cookie, which a browser sends by itself. */
  readonly fromCookie: boolean;
}

/** What a client shows of a session, with the hash of the secret that the store compares. */
export interface ClientCredential extends ClientToken {
  readonly secretHash: string;
}

/**
 * The session token of a client route: `Authorization: Bearer <27 characters>`, otherwise the cookie. Any other
 * Authorization is passed over, for it may be meant for what stands behind the proxy that asks.
 */
export function clientToken(c: Context): ClientToken | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header("Authorization") ?? "")?.[1];
  return shownToken(bearer, false) ?? cookieToken(c);
}

/** {@link clientToken}, as a store takes it. */
export async function clientCredential(c: Context): Promise<ClientCredential | undefined> {
  return credential(clientToken(c));
}

/**
 * The session token of a WebSocket: where a page offers one as a subprotocol, that and no other, for the page chose it;
 * otherwise as on every client route.
 */
export async function socketCredential(c: Context): Promise<ClientCredential | undefined> {
  const { token } = readSubprotocols(c.req.header("Sec-WebSocket-Protocol"));
  if (token === undefined) return clientCredential(c);
  return token === "invalid" ? undefined : credential({ ...splitToken(token), fromCookie: false });
}

/** The session token of a page: the cookie alone. */
export async function cookieCredential(c: Context): Promise<ClientCredential | undefined> {
  return credential(cookieToken(c));
}

function cookieToken(c: Context): ClientToken | undefined {
  return shownToken(sessionCookie(c), true);
}

function shownToken(text: string | undefined, fromCookie: boolean): ClientToken | undefined {
  const token = parseToken(text ?? "");
  return token && { ...splitToken(token), fromCookie };
}

async function credential(shown: ClientToken | undefined): Promise<ClientCredential | undefined> {
  return shown && { ...shown, secretHash: await hashSecret(shown.secret) };
}

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
