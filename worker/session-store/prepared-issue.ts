import type { IssueRequest, SessionRequest } from "../../protocol/session-request.ts";
import { TOKEN_SECRET_BYTES } from "../../protocol/session-token.ts";
import { hashSecret } from "./secrets.ts";

/**
 * An issue with its random values, drawn once per request: when the store repeats it because a reply was lost, it finds the
 * session that the first attempt created instead of creating another.
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

/** The requests with each issue prepared. */
export async function prepareIssues(requests: readonly SessionRequest[]): Promise<readonly PreparedRequest[]> {
  return Promise.all(requests.map((request) => (request.kind === "issue" ? prepareIssue(request) : request)));
}

async function prepareIssue(request: IssueRequest): Promise<PreparedIssue> {
  const secret = crypto.getRandomValues(new Uint8Array(TOKEN_SECRET_BYTES));
  // 0 is never a session (docs/architecture.md); once in 2^30 draws a candidate is dropped.
  const candidates = [...crypto.getRandomValues(new Int32Array(CANDIDATES))].filter((sessid) => sessid !== 0);
  return { ...request, candidates, secret, secretHash: await hashSecret(secret) };
}
