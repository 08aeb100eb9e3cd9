import type { Context } from "hono";
import { deleteCookie, setCookie } from "hono/cookie";
import { formatToken, parseToken, splitToken } from "../../protocol/session-token.ts";
import { readSubprotocols } from "../../protocol/web-socket-subprotocol.ts";
import { hashSecret } from "../session-store/secrets.ts";

/** A session token, as a client sends it. */
export interface ClientToken {
  readonly sessid: number;
  readonly secret: Uint8Array<ArrayBuffer>;
  /** Whether it came in a cookie, which a browser sends by itself. */
  readonly fromCookie: boolean;
}

/** A session token with the hash of its secret, which the store compares. */
export interface ClientCredential extends ClientToken {
  readonly secretHash: string;
}

/**
 * The session token of a client route: `Authorization: Bearer <27 characters>`, otherwise the cookie. Any other
 * Authorization is ignored: it may be meant for the site behind the proxy that asks.
 */
export function clientToken(c: Context): ClientToken | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header("Authorization") ?? "")?.[1];
  return shownToken(bearer, false) ?? cookieToken(c);
}

/** {@link clientToken} with its hash. */
export async function clientCredential(c: Context): Promise<ClientCredential | undefined> {
  return credential(clientToken(c));
}

/**
 * The session token of a WebSocket. If the client offers one as a subprotocol, only that counts, because the page chose it;
 * otherwise it is {@link clientCredential}.
 */
export async function socketCredential(c: Context): Promise<ClientCredential | undefined> {
  const { token } = readSubprotocols(c.req.header("Sec-WebSocket-Protocol"));
  if (token === undefined) return clientCredential(c);
  return token === "invalid" ? undefined : credential({ ...splitToken(token), fromCookie: false });
}

/** The session token of a page: only the cookie counts. */
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

/** For a name with `__Host-` browsers insist on Secure, Path=/ and no Domain (RFC 6265bis). */
const SESSION_COOKIE = "__Host-sid";

const VALUE = new RegExp(`(?:^|;)\\s*${SESSION_COOKIE}=([^;]*)`, "g");

/** The cookie's value. No browser sends two, and it is unknown which of them is genuine: they count as none. */
function sessionCookie(c: Context): string | undefined {
  const [first, second] = (c.req.header("Cookie") ?? "").matchAll(VALUE);
  return second === undefined ? first?.[1]?.trim() : undefined;
}

/** Sets the browser's session. Without Max-Age the cookie ends when the browser is closed. */
export function setSessionCookie(c: Context, token: Uint8Array): void {
  setCookie(c, SESSION_COOKIE, formatToken(token), { path: "/", secure: true, httpOnly: true, sameSite: "Lax" });
}

/** Removes the session from the browser. */
export function clearSessionCookie(c: Context): void {
  deleteCookie(c, SESSION_COOKIE, { path: "/", secure: true, httpOnly: true, sameSite: "Lax" });
}

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
