import { failedResponse } from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedIssue } from "../prepared-issue.ts";
import { SESSIONS_KEY, sessionKey, USERS_KEY, userKey } from "../redis-keys.ts";
import { ISSUE } from "../redis-scripts/issue.ts";
import type { SessionPolicy } from "../session-store.ts";
import { creationPolicyArgs, idleText } from "./creation-args.ts";
import { ownerText, restText } from "./record-text.ts";
import type { RedisAnswer, RedisCall } from "./redis-call.ts";
import { asInteger, asList, UnexpectedReply } from "./reply-shape.ts";

const CREATED = 0;
const TOO_MANY = 3;
const ALL_TAKEN = 4;

/** One issue. */
export class IssueCall implements RedisCall {
  readonly script = ISSUE;
  readonly requests: readonly [PreparedIssue];

  constructor(request: PreparedIssue) {
    this.requests = [request];
  }

  add(): boolean {
    return false;
  }

  keys(): string[] {
    const [{ user, candidates }] = this.requests;
    return [SESSIONS_KEY, USERS_KEY, userKey(user), ...candidates.map(sessionKey)];
  }

  args(policy: SessionPolicy): string[] {
    const [request] = this.requests;
    return [
      ...creationPolicyArgs(policy),
      ownerText(request.user),
      restText(request),
      idleText(request.idleMs),
      request.secretHash,
    ];
  }

  read(reply: unknown): RedisAnswer {
    const [{ candidates, secret }] = this.requests;
    const [code, place, expiresAt] = asList(reply).map(asInteger);
    if (code === TOO_MANY) return { responses: [failedResponse("issue", Status.TooMany)], touches: [] };
    if (code === ALL_TAKEN) return { responses: [failedResponse("issue", Status.Unavailable)], touches: [] };
    const sessid = candidates[place ?? -1];
    if (code !== CREATED || sessid === undefined || expiresAt === undefined) throw new UnexpectedReply();
    const token = makeToken(sessid, secret);
    return { responses: [{ kind: "issue", status: Status.Ok, sessid, token, expiresAt }], touches: [] };
  }
}
