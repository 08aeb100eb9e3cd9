import type { Context } from "hono";
import { parseToken, splitToken } from "../../protocol/session-token.ts";
import { readSubprotocols } from "../../protocol/web-socket-subprotocol.ts";
import { hashSecret } from "../session-store/secret-hash.ts";
import { sessionCookie } from "./session-cookie.ts";

/** What a client shows of a session: its number, and the hash that the store compares. */
export interface ClientCredential {
  readonly sessid: number;
  readonly secretHash: string;
  /** Whether it came as a cookie, which a browser sends by itself. */
  readonly fromCookie: boolean;
}

/**
 * The session token of a client route: `Authorization: Bearer <27 characters>`, otherwise the cookie. Any other
 * Authorization is passed over, for it may be meant for what stands behind the proxy that asks.
 */
export async function clientCredential(c: Context): Promise<ClientCredential | undefined> {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header("Authorization") ?? "")?.[1];
  const token = parseToken(bearer ?? "");
  return token === undefined ? cookieCredential(c) : credential(token, false);
}

/**
 * The session token of a WebSocket: where a page offers one as a subprotocol, that and no other, for the page chose it;
 * otherwise as on every client route.
 */
export async function socketCredential(c: Context): Promise<ClientCredential | undefined> {
  const { token } = readSubprotocols(c.req.header("Sec-WebSocket-Protocol"));
  if (token === undefined) return clientCredential(c);
  return token === "invalid" ? undefined : credential(token, false);
}

/** The session token of a page: the cookie alone. */
export async function cookieCredential(c: Context): Promise<ClientCredential | undefined> {
  const token = parseToken(sessionCookie(c) ?? "");
  return token && credential(token, true);
}

async function credential(token: Uint8Array, fromCookie: boolean): Promise<ClientCredential> {
  const { sessid, secret } = splitToken(token);
  return { sessid, secretHash: await hashSecret(secret), fromCookie };
}
