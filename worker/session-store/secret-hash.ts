/** SHA-256 of a token's secret, base64url without padding (43 characters): what storage keeps of a token. */
export async function hashSecret(secret: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", secret));
  return digest.toBase64({ alphabet: "base64url", omitPadding: true });
}
