import type {
  IdentifyRequest,
  IdentifyTokenRequest,
  IssueRequest,
  SessionRequest,
} from "../../protocol/session-request.ts";
import { splitToken, TOKEN_SECRET_BYTES } from "../../protocol/session-token.ts";
import type { PreparedIssue, PreparedRequest } from "./session-store.ts";

/** SHA-256 of a token's secret, base64url without padding (43 characters): what a store keeps of a token. */
export async function hashSecret(secret: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", secret));
  return digest.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** The request for the store that a shown token makes. */
export async function hashToken({ token, ...request }: IdentifyTokenRequest): Promise<IdentifyRequest> {
  const { sessid, secret } = splitToken(token);
  return { ...request, sessid, secretHash: await hashSecret(secret) };
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

/** With 10^8 sessions (2.3 % of all sessids) all four are taken once in 3 million issues: 0.023^4. */
const CANDIDATES = 4;

/** The requests, with the sessids and the secret of each issue drawn. */
export async function prepareIssues(requests: readonly SessionRequest[]): Promise<readonly PreparedRequest[]> {
  return Promise.all(requests.map((request) => (request.kind === "issue" ? prepareIssue(request) : request)));
}

async function prepareIssue(request: IssueRequest): Promise<PreparedIssue> {
  const secret = crypto.getRandomValues(new Uint8Array(TOKEN_SECRET_BYTES));
  // 0 is never a session (docs/architecture.md); once in 2^30 draws a candidate is dropped.
  const candidates = [...crypto.getRandomValues(new Int32Array(CANDIDATES))].filter((sessid) => sessid !== 0);
  return { ...request, candidates, secret, secretHash: await hashSecret(secret) };
}
