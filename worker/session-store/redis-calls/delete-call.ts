import type { DeleteRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import { SESSIONS_KEY, sessionKey, USERS_KEY } from "../redis-keys.ts";
import { DELETE } from "../redis-scripts/delete.ts";
import { ownerText } from "./record-text.ts";
import { MAX_WRITES_PER_CALL, type RedisAnswer, type RedisCall } from "./redis-call.ts";
import { asCode, asList } from "./reply-shape.ts";

/** What the script's codes mean, by their number. */
const OUTCOMES = [Status.Ok, Status.NotFound, Status.Denied] as const;

/** A run of deletes. */
export class DeleteCall implements RedisCall {
  readonly script = DELETE;
  readonly requests: DeleteRequest[] = [];

  constructor(first: DeleteRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "delete" || this.requests.length === MAX_WRITES_PER_CALL) return false;
    this.requests.push(request);
    return true;
  }

  keys(): string[] {
    return [SESSIONS_KEY, USERS_KEY, ...this.requests.map(({ sessid }) => sessionKey(sessid))];
  }

  args(): string[] {
    return this.requests.flatMap(({ user, secretHash }) => [ownerText(user), secretHash ?? ""]);
  }

  read(reply: unknown): RedisAnswer {
    const codes = asList(reply);
    const responses = this.requests.map(
      (_, index): SessionResponse => ({ kind: "delete", status: asCode(OUTCOMES, codes[index]) }),
    );
    return { responses, touches: [] };
  }
}
