import { createHash, timingSafeEqual } from "node:crypto";

/** Tells whether what a request shows is the token, in a time that does not depend on how much of it is right. */
export type CheckToken = (shown: string | undefined) => boolean;

/** Digests have one length whatever was shown, as the comparison needs. */
export function tokenChecker(token: string): CheckToken {
  const expected = digest(token);
  return (shown) => shown !== undefined && timingSafeEqual(digest(shown), expected);
}

/** The credential of `Authorization: Bearer <credential>` (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1). */
export function bearerCredential(header: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
