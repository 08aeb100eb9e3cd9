import type { Context } from "hono";
import { deleteCookie, setCookie } from "hono/cookie";
import {
  clientToken,
  cookieToken,
  formatToken,
  OWN_END_COOKIE,
  OWN_END_PATH,
  type OwnEnd,
  SESSION_COOKIE,
  type ShownToken,
  splitToken,
} from "../../protocol/session-token.ts";
import { readSubprotocols } from "../../protocol/web-socket-subprotocol.ts";
import { hashSecret } from "../session-store/secrets.ts";

/** A session token of a request, with the hash of its secret, which the store compares. */
export interface ClientCredential {
  readonly sessid: number;
  readonly secretHash: string;
  /** Whether it came in a cookie, which a browser sends by itself. */
  readonly fromCookie: boolean;
}

/** The session token of a client route: in the Authorization, otherwise in the cookie. */
export async function clientCredential(c: Context): Promise<ClientCredential | undefined> {
  return credential(clientToken((name) => c.req.header(name)));
}

/**
 * The session token of a WebSocket. If the client offers one as a subprotocol, only that counts, because the page chose it;
 * otherwise it is {@link clientCredential}.
 */
export async function socketCredential(c: Context): Promise<ClientCredential | undefined> {
  const { token } = readSubprotocols(c.req.header("Sec-WebSocket-Protocol"));
  if (token === undefined) return clientCredential(c);
  return token === "invalid" ? undefined : credential({ token, fromCookie: false });
}

/** The session token of a page: only the cookie counts. */
export async function cookieCredential(c: Context): Promise<ClientCredential | undefined> {
  return credential(cookieToken((name) => c.req.header(name)));
}

async function credential(shown: ShownToken | undefined): Promise<ClientCredential | undefined> {
  if (shown === undefined) return undefined;
  const { sessid, secret } = splitToken(shown.token);
  return { sessid, secretHash: await hashSecret(secret), fromCookie: shown.fromCookie };
}

/** Sets the browser's session. Without Max-Age the cookie ends when the browser is closed. */
export function setSessionCookie(c: Context, token: Uint8Array): void {
  setCookie(c, SESSION_COOKIE, formatToken(token), { path: "/", secure: true, httpOnly: true, sameSite: "Lax" });
}

/** Removes the session, which the browser has ended, from it. */
export function clearSessionCookie(c: Context): void {
  deleteCookie(c, SESSION_COOKIE, { path: "/", secure: true, httpOnly: true, sameSite: "Lax" });
  noteOwnEnd(c, "logout");
}

/** Lets the browser's room pages say who has ended the session by which they were connected. */
export function noteOwnEnd(c: Context, how: OwnEnd): void {
  setCookie(c, OWN_END_COOKIE, how, { path: OWN_END_PATH, maxAge: 60, secure: true, sameSite: "Strict" });
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
