import { timingSafeEqual } from "node:crypto";

/** Tells whether what a request shows is the token, in a time that does not depend on how much of it is right. */
export type CheckToken = (shown: string | null | undefined) => boolean;

/**
 * Compares as many bytes as the token has, whatever was shown: all of them are looked at, and what was shown has no part
 * in how long that takes. `token` is printable ASCII.
 */
export function tokenChecker(token: string): CheckToken {
  const expected = Buffer.from(token);
  return (shown) => {
    if (shown === null || shown === undefined) return false;
    const bytes = Buffer.alloc(expected.length);
    bytes.write(shown);
    return timingSafeEqual(bytes, expected) && shown.length === token.length;
  };
}

/** The credential of `Authorization: Bearer <credential>` (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1). */
export function bearerCredential(header: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}
