/** SHA-256 of a token's secret, base64url without padding (43 characters): what a store keeps of a token. */
export async function hashSecret(secret: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", secret));
  return digest.toBase64({ alphabet: "base64url", omitPadding: true });
}

const encoder = new TextEncoder();

/**
 * Whether two secrets (hashes of a token's secret, API keys) are equal; the time it takes reveals only whether their lengths
 * are. `stored` is null for a session without a token, which no secret matches.
 */
export function sameSecret(stored: string | null, shown: string): boolean {
  if (stored === null) return false;
  const storedBytes = encoder.encode(stored);
  const shownBytes = encoder.encode(shown);
  return storedBytes.byteLength === shownBytes.byteLength && crypto.subtle.timingSafeEqual(storedBytes, shownBytes);
}
