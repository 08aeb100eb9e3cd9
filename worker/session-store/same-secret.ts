const encoder = new TextEncoder();

/** Whether two secret hashes are equal, in a time that does not tell how much of them is. A session without a token has none. */
export function sameSecret(stored: string | null, shown: string): boolean {
  if (stored === null) return false;
  const storedBytes = encoder.encode(stored);
  const shownBytes = encoder.encode(shown);
  return storedBytes.byteLength === shownBytes.byteLength && crypto.subtle.timingSafeEqual(storedBytes, shownBytes);
}
