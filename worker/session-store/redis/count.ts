import type { CountRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../session-store.ts";
import { asInteger, asList, type BatchCall, type CallResult, type RedisScript, type ScriptCall } from "./scripts.ts";
import { LUA_CLOCK, type RedisKeys } from "./session-record.ts";

/** Returns the number of live sessions and of users that have one, in O(log n): a ZSET knows its ranks. */
export const COUNT: RedisScript = {
  readOnly: true,
  source: `
  local SESSIONS = KEYS[1] -- sessions
  local USERS    = KEYS[2] -- users
${LUA_CLOCK}
  local above = '(' .. nowText
  return { call('ZCOUNT', SESSIONS, above, '+inf'), call('ZCOUNT', USERS, above, '+inf') }
`,
};

/** Neighbouring counts, which all have the same response. */
export class CountCall implements BatchCall {
  readonly requests: CountRequest[] = [];

  constructor(first: CountRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "count") return false;
    this.requests.push(request);
    return true;
  }

  toScript(keys: RedisKeys): ScriptCall {
    return { script: COUNT, keys: [keys.sessions, keys.users], args: [] };
  }

  read(reply: unknown): CallResult {
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
