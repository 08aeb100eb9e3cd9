import type { CountRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import { SESSIONS_KEY, USERS_KEY } from "../redis-keys.ts";
import { COUNT } from "../redis-scripts/count.ts";
import type { RedisAnswer, RedisCall } from "./redis-call.ts";
import { asInteger, asList } from "./reply-shape.ts";

/** A run of counts: they are the same. */
export class CountCall implements RedisCall {
  readonly script = COUNT;
  readonly requests: CountRequest[] = [];

  constructor(first: CountRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "count") return false;
    this.requests.push(request);
    return true;
  }

  keys(): string[] {
    return [SESSIONS_KEY, USERS_KEY];
  }

  args(): string[] {
    return [];
  }

  read(reply: unknown): RedisAnswer {
    const [sessions, users] = asList(reply);
    const response: SessionResponse = {
      kind: "count",
      status: Status.Ok,
      sessions: asInteger(sessions),
      users: asInteger(users),
    };
    return { responses: this.requests.map(() => response), touches: [] };
  }
}
