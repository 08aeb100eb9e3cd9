/** A session token: `sessid` (4 bytes, little-endian), then the secret. */
export const TOKEN_BYTES = 20;

/** 128 random bits, what OWASP ASVS 5.0 7.2.3 asks of a session token: 20 - 4. */
export const TOKEN_SECRET_BYTES = 16;

/** base64url without padding of 20 bytes: ceil(20 * 8 / 6). */
export const TOKEN_CHARACTERS = 27;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** The token of a session: what a client outside the trusted network shows. */
export function makeToken(sessid: number, secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const token = new Uint8Array(TOKEN_BYTES);
  new DataView(token.buffer).setInt32(0, sessid, true);
  token.set(secret, TOKEN_BYTES - TOKEN_SECRET_BYTES);
  return token;
}

/** The parts of a token's 20 bytes. */
export function splitToken(token: Uint8Array): { sessid: number; secret: Uint8Array<ArrayBuffer> } {
  const sessid = new DataView(token.buffer, token.byteOffset, token.byteLength).getInt32(0, true);
  const secret = new Uint8Array(TOKEN_SECRET_BYTES);
  secret.set(token.subarray(TOKEN_BYTES - TOKEN_SECRET_BYTES, TOKEN_BYTES));
  return { sessid, secret };
}

/** base64url without padding (RFC 4648 §5), 27 characters for a token. */
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
 * The 20 bytes of a token's text, or undefined if it is not exactly what {@link formatToken} writes: a second spelling
 * of one token is not accepted.
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
  // 27 * 6 - 20 * 8 = 2 bits are left over: they carry nothing, so they are 0.
  return (bits & 3) === 0 ? token : undefined;
}
