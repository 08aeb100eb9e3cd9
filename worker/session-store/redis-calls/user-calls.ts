import type { DeleteUserRequest, ListUserRequest, Session } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { SESSIONS_KEY, USERS_KEY, userKey } from "../redis-keys.ts";
import { parseRecord } from "../redis-record.ts";
import { DELETE_USER } from "../redis-scripts/delete-user.ts";
import { LIST_USER } from "../redis-scripts/list-user.ts";
import type { RedisAnswer, RedisCall } from "./redis-call.ts";
import { asInteger, asList, asText } from "./reply-shape.ts";

/** All sessions of a user, the oldest first. */
export class ListUserCall implements RedisCall {
  readonly script = LIST_USER;
  readonly requests: readonly [ListUserRequest];

  constructor(request: ListUserRequest) {
    this.requests = [request];
  }

  add(): boolean {
    return false;
  }

  keys(): string[] {
    return [userKey(this.requests[0].user)];
  }

  args(): string[] {
    return [];
  }

  read(reply: unknown): RedisAnswer {
    const items = asList(reply).map(asText);
    const sessions: Session[] = [];
    for (let at = 0; at + 1 < items.length; at += 2) {
      sessions.push(parseRecord(Number(items[at]), items[at + 1] ?? "").session);
    }
    sessions.sort((a, b) => a.createdAt - b.createdAt || a.sessid - b.sessid);
    return { responses: [{ kind: "listUser", status: Status.Ok, sessions }], touches: [] };
  }
}

/** The end of all sessions of a user, or of all but one. */
export class DeleteUserCall implements RedisCall {
  readonly script = DELETE_USER;
  readonly requests: readonly [DeleteUserRequest];

  constructor(request: DeleteUserRequest) {
    this.requests = [request];
  }

  add(): boolean {
    return false;
  }

  keys(): string[] {
    return [SESSIONS_KEY, USERS_KEY, userKey(this.requests[0].user)];
  }

  args(): string[] {
    return [String(this.requests[0].except ?? "")];
  }

  read(reply: unknown): RedisAnswer {
    return { responses: [{ kind: "deleteUser", status: Status.Ok, deleted: asInteger(reply) }], touches: [] };
  }
}
