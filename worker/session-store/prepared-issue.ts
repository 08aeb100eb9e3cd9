import type { IssueRequest, SessionRequest } from "../../protocol/session-request.ts";
import { TOKEN_SECRET_BYTES } from "../../protocol/session-token.ts";
import { hashSecret } from "./secrets.ts";

/**
 * An issue with its randomness: drawn once per request, so that its repetition within the store (an answer was lost) finds
 * the session that the first attempt made instead of making another.
 */
export interface PreparedIssue extends IssueRequest {
  /** Random sessids, tried in this order until one is free. */
  readonly candidates: readonly number[];
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly secretHash: string;
}

/** A request that a store can execute. */
export type PreparedRequest = Exclude<SessionRequest, IssueRequest> | PreparedIssue;

/** With 10^8 sessions (2.3 % of all sessids) all four are taken once in 3 million issues: 0.023^4. */
const CANDIDATES = 4;

/** Draws for each issue among the requests; the others are passed on as they are. */
export async function prepareIssues(requests: readonly SessionRequest[]): Promise<readonly PreparedRequest[]> {
  // A thousand checks need no thousand promises.
  if (requests.every(needsNoDraw)) return requests;
  return Promise.all(requests.map((request) => (request.kind === "issue" ? drawIssue(request) : request)));
}

function needsNoDraw(request: SessionRequest): request is Exclude<SessionRequest, IssueRequest> {
  return request.kind !== "issue";
}

async function drawIssue(request: IssueRequest): Promise<PreparedIssue> {
  const secret = crypto.getRandomValues(new Uint8Array(TOKEN_SECRET_BYTES));
  // 0 is never a session (docs/architecture.md); once in 2^32 draws a candidate falls away.
  const candidates = [...crypto.getRandomValues(new Int32Array(CANDIDATES))].filter((sessid) => sessid !== 0);
  return { ...request, candidates, secret, secretHash: await hashSecret(secret) };
}
