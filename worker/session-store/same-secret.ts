const encoder = new TextEncoder();

/**
 * Whether two secrets (a token's hash, an API key) are equal, in a time that tells whether their lengths are and nothing else.
 * A session without a token has none.
 */
export function sameSecret(stored: string | null, shown: string): boolean {
  if (stored === null) return false;
  const storedBytes = encoder.encode(stored);
  const shownBytes = encoder.encode(shown);
  return storedBytes.byteLength === shownBytes.byteLength && crypto.subtle.timingSafeEqual(storedBytes, shownBytes);
}
