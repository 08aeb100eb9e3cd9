/** The size of a session token: `sessid i32`, little-endian, then the secret (docs/wire-protocol.md, "Service packets"). */
export const TOKEN_BYTES = 20;

/** 128 random bits, as OWASP ASVS 5.0 7.2.3 requires of a session token: 20 - 4 bytes. */
export const TOKEN_SECRET_BYTES = 16;

/** The length of a token as text, base64url without padding: ceil(20 * 8 / 6). */
const TOKEN_CHARACTERS = 27;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Builds the token of a session from its sessid and its {@link TOKEN_SECRET_BYTES} secret bytes. */
export function makeToken(sessid: number, secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const token = new Uint8Array(TOKEN_BYTES);
  new DataView(token.buffer).setInt32(0, sessid, true);
  token.set(secret, TOKEN_BYTES - TOKEN_SECRET_BYTES);
  return token;
}

/** The sessid and a copy of the secret of a token of {@link TOKEN_BYTES}. */
export function splitToken(token: Uint8Array): { sessid: number; secret: Uint8Array<ArrayBuffer> } {
  const sessid = new DataView(token.buffer, token.byteOffset, token.byteLength).getInt32(0, true);
  const secret = new Uint8Array(TOKEN_SECRET_BYTES);
  secret.set(token.subarray(TOKEN_BYTES - TOKEN_SECRET_BYTES, TOKEN_BYTES));
  return { sessid, secret };
}

/** @throws TypeError it has not {@link TOKEN_BYTES} bytes */
export function requireToken(token: Uint8Array): void {
  if (!(token instanceof Uint8Array) || token.byteLength !== TOKEN_BYTES)
    throw new TypeError(`token: not ${TOKEN_BYTES} bytes, as parseToken makes them from its text`);
}

/** Encodes a token as base64url without padding (RFC 4648 §5), {@link TOKEN_CHARACTERS} characters. */
export function formatToken(token: Uint8Array): string {
  let text = "";
  for (let at = 0; at < token.byteLength; at += 3) {
    const group = ((token[at] ?? 0) << 16) | ((token[at + 1] ?? 0) << 8) | (token[at + 2] ?? 0);
    const digits = Math.min(4, token.byteLength - at + 1);
    for (let digit = 0; digit < digits; digit++) text += ALPHABET[(group >>> (18 - 6 * digit)) & 63];
  }
  return text;
}

/**
 * Decodes a token from its text. Returns undefined unless the text is exactly what {@link formatToken} writes, so that each token
 * has one spelling.
 */
export function parseToken(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length !== TOKEN_CHARACTERS) return undefined;
  const token = new Uint8Array(TOKEN_BYTES);
  let bits = 0;
  let pending = 0;
  let written = 0;
  for (const character of text) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) return undefined;
    bits = ((bits << 6) | digit) & 0xffff;
    pending += 6;
    if (pending >= 8) {
      pending -= 8;
      token[written++] = (bits >>> pending) & 255;
    }
  }
  // 27 * 6 - 20 * 8 = 2 bits are unused and must be 0.
  return (bits & 3) === 0 ? token : undefined;
}

/** The headers in which a client may show its token. */
export type ClientHeader = "Authorization" | "Cookie";

/** A header of a request. The lines of one name are joined by ", ", those of Cookie too. null or undefined: there is none. */
type ClientHeaderReader = (name: ClientHeader) => string | null | undefined;

/** A session token as a client sends it over HTTP. */
export interface ShownToken {
  readonly token: Uint8Array<ArrayBuffer>;
  /** Whether it came in a cookie, which a browser sends by itself. */
  readonly fromCookie: boolean;
}

/**
 * The session token of a client's request: `Authorization: Bearer <27 characters>`, otherwise the cookie. Any other
 * Authorization is ignored: it may be meant for the site behind the proxy that asks.
 */
export function clientToken(header: ClientHeaderReader): ShownToken | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(header("Authorization") ?? "")?.[1];
  const token = parseToken(bearer ?? "");
  return token === undefined ? cookieToken(header) : { token, fromCookie: false };
}

/** For a name with `__Host-` browsers insist on Secure, Path=/ and no Domain (RFC 6265bis). */
export const SESSION_COOKIE = "__Host-sid";

/**
 * A cookie that the scripts of the room pages read: this browser has ended its session itself, a minute ago at most. Its value is an
 * {@link OwnEnd}.
 */
export const OWN_END_COOKIE = "session-ended";

/** The only pages that get {@link OWN_END_COOKIE}. */
export const OWN_END_PATH = "/rooms";

/** `login`: another session took the place of the one that ended. */
export type OwnEnd = "logout" | "login";

const COOKIE_VALUE = new RegExp(`(?:^|;)\\s*${SESSION_COOKIE}=([^;]*)`, "g");

/** The session token of the cookie. No browser sends two, and it is unknown which of them is genuine: they count as none. */
export function cookieToken(header: ClientHeaderReader): ShownToken | undefined {
  const [first, second] = (header("Cookie") ?? "").matchAll(COOKIE_VALUE);
  if (first === undefined || second !== undefined) return undefined;
  const token = parseToken(first[1]?.trim() ?? "");
  return token && { token, fromCookie: true };
}
