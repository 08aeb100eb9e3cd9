import type { DeleteUserRequest, ListUserRequest, Session } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import {
  asInteger,
  asList,
  asText,
  type BatchCall,
  type CallResult,
  parseLeases,
  type RedisScript,
  type ScriptCall,
} from "./scripts.ts";
import { LUA_INDEX } from "./session-index.ts";
import { LUA_CLOCK, ownerText, parseRecord, type RedisKeys } from "./session-record.ts";

/** The live sessions of a user. Returns sessid, record, sessid, record, ... in the order of their expiry. */
export const LIST_USER: RedisScript = {
  readOnly: true,
  source: `
  local userKey = KEYS[1] -- u:<user>
  local prefix  = ARGV[1] -- of keys
${LUA_CLOCK}
  local reply = {}
  for _, sessid in ipairs(call('ZRANGEBYSCORE', userKey, '(' .. nowText, '+inf')) do
    local record = call('GET', prefix .. 's:' .. sessid)
    if record then
      reply[#reply + 1] = sessid
      reply[#reply + 1] = record
    end
  end
  return reply
`,
};

/** One list of a user's sessions. */
export class ListUserCall implements BatchCall {
  readonly requests: readonly [ListUserRequest];

  constructor(request: ListUserRequest) {
    this.requests = [request];
  }

  add(): boolean {
    return false;
  }

  toScript(keys: RedisKeys): ScriptCall {
    return { script: LIST_USER, keys: [keys.user(this.requests[0].user)], args: [keys.prefix] };
  }

  /** The sessions by their age, the oldest first. */
  read(reply: unknown): CallResult {
    const items = asList(reply).map(asText);
    const sessions: Session[] = [];
    for (let at = 0; at + 1 < items.length; at += 2) {
      sessions.push(parseRecord(Number(items[at]), items[at + 1] ?? "").session);
    }
    sessions.sort((a, b) => a.createdAt - b.createdAt || a.sessid - b.sessid);
    return { responses: [{ kind: "listUser", status: Status.Ok, sessions }], touches: [] };
  }
}

/**
 * Ends all sessions of a user but one. Returns how many lived, then the leases. Expired sessions that the user's set still holds are
 * removed from this set alone: their sessids may belong to another user by now.
 */
export const DELETE_USER: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- sessions
  local USERS    = KEYS[2] -- users
  local userKey  = KEYS[3] -- u:<user>
  local prefix   = ARGV[1] -- of keys
  local logSize  = ARGV[2] -- entries that the log keeps at least
  local owner    = ARGV[3] -- the user as JSON
  local except   = ARGV[4] -- the sessid that stays, '' for none
${LUA_CLOCK}${LUA_INDEX}
  trimSessions()
  local sessids = call('ZRANGEBYSCORE', userKey, '(' .. nowText, '+inf')
  local ended, keptUntil = 0, nil
  for _, sessid in ipairs(sessids) do
    if sessid == except then
      keptUntil = call('ZSCORE', userKey, sessid)
    else
      call('DEL', sessionKeyOf(sessid))
      removeFromIndices(sessid)
      log('d', sessid, owner)
      ended = ended + 1
    end
  end
  call('DEL', userKey)
  if keptUntil then call('ZADD', userKey, keptUntil, except) end
  updateUser(userKey)
  finish()
  return addLeases({ ended })
`,
};

/** One end of all sessions of a user, or of all but one. */
export class DeleteUserCall implements BatchCall {
  readonly requests: readonly [DeleteUserRequest];

  constructor(request: DeleteUserRequest) {
    this.requests = [request];
  }

  add(): boolean {
    return false;
  }

  toScript(keys: RedisKeys): ScriptCall {
    const [{ user, except }] = this.requests;
    return {
      script: DELETE_USER,
      keys: [keys.sessions, keys.users, keys.user(user)],
      args: [...keys.writeArgs, ownerText(user), String(except ?? "")],
    };
  }

  read(reply: unknown): CallResult {
    const [deleted, ...leases] = asList(reply);
    return {
      responses: [{ kind: "deleteUser", status: Status.Ok, deleted: asInteger(deleted) }],
      touches: [],
      leases: parseLeases(leases),
    };
  }
}
