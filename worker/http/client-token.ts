import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { parseToken, splitToken } from "../../protocol/session-token.ts";
import { hashSecret } from "../session-store/secret-hash.ts";

/** The browser's cookie. The `__Host-` prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis). */
export const SESSION_COOKIE = "__Host-sid";

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
  const shown = parseToken(bearer ?? "");
  const token = shown ?? parseToken(getCookie(c, SESSION_COOKIE) ?? "");
  if (token === undefined) return undefined;
  const { sessid, secret } = splitToken(token);
  return { sessid, secretHash: await hashSecret(secret), fromCookie: shown === undefined };
}
