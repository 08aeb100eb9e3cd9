import type { DeleteRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../session-store.ts";
import {
  asCode,
  asList,
  type BatchCall,
  type CallResult,
  MAX_WRITES_PER_CALL,
  parseLeases,
  type RedisScript,
  type ScriptCall,
} from "./scripts.ts";
import { LUA_INDEX } from "./session-index.ts";
import { LUA_CLOCK, LUA_RECORD, ownerText, type RedisKeys } from "./session-record.ts";

/**
 * Ends sessions, one after the other.
 *
 * Returns a code per session ({@link OUTCOMES}), then the leases. The repetition of a call whose reply was lost says "not
 * found" where the first has ended the session: either way it has ended, and the leases are those that matter to it.
 */
export const DELETE: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- sessions
  local USERS    = KEYS[2] -- users
  -- KEYS[2 + i]: s:<sessid>
  local prefix   = ARGV[1] -- of keys
  local logSize  = ARGV[2] -- entries that the log keeps at least
  -- ARGV[1 + 2i]: the owner that the session must have, '' for any
  -- ARGV[2 + 2i]: the secret hash that it must have, '' for any
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}
  local ENDED, NOT_FOUND, OF_ANOTHER = 0, 1, 2

  local deleted = {}

  -- record: as it was before the script
  local function delete(record, key, owner, secretHash)
    local sessid = idOf(key)
    if not isLive(record) or ended[sessid] then return NOT_FOUND end
    if owner ~= '' and not belongsTo(record, owner) then return OF_ANOTHER end
    if secretHash ~= '' and secretHashOf(record) ~= secretHash then return OF_ANOTHER end
    local user, itsOwner = userOf(record)
    deleted[#deleted + 1] = key
    removeFromIndices(sessid, user and userKeyOf(user))
    log('d', sessid, itsOwner)
    return ENDED
  end

  trimSessions()
  local reply = {}
  for i, record in ipairs(call('MGET', unpack(KEYS, 3))) do
    reply[i] = delete(record, KEYS[2 + i], ARGV[1 + 2 * i], ARGV[2 + 2 * i])
  end
  if #deleted > 0 then call('DEL', unpack(deleted)) end
  finish()
  return addLeases(reply)
`,
};

/** What the script's codes mean, by their number. */
const OUTCOMES = [Status.Ok, Status.NotFound, Status.Denied] as const;

/** Neighbouring deletes. */
export class DeleteCall implements BatchCall {
  readonly requests: DeleteRequest[] = [];

  constructor(first: DeleteRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "delete" || this.requests.length === MAX_WRITES_PER_CALL) return false;
    this.requests.push(request);
    return true;
  }

  toScript(keys: RedisKeys): ScriptCall {
    return {
      script: DELETE,
      keys: [keys.sessions, keys.users, ...this.requests.map(({ sessid }) => keys.session(sessid))],
      args: [
        ...keys.writeArgs,
        ...this.requests.flatMap(({ user, secretHash }) => [ownerText(user), secretHash ?? ""]),
      ],
    };
  }

  read(reply: unknown): CallResult {
    const codes = asList(reply);
    const responses = this.requests.map(
      (_, index): SessionResponse => ({ kind: "delete", status: asCode(OUTCOMES, codes[index]) }),
    );
    return { responses, touches: [], leases: parseLeases(codes.slice(responses.length)) };
  }
}
