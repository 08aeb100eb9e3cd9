import { failedResponse } from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedIssue } from "../prepared-issue.ts";
import type { SessionPolicy } from "../session-store.ts";
import { creationArgs, idleText, LUA_CREATE } from "./lua-create.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_CLOCK, LUA_RECORD, ownerText, type RedisKeys, restText } from "./record.ts";
import {
  asInteger,
  asList,
  type BatchCall,
  type CallResult,
  type RedisScript,
  type ScriptCall,
  UnexpectedReply,
} from "./scripts.ts";

/**
 * Creates a session under the first of a few random sessids that is free. If one of them has the given user and secret
 * already, this is the repetition of a call whose reply was lost, and that is the session.
 *
 * Returns a code, the session's place among the sessids, from 0, and its expiry.
 */
export const ISSUE: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS    = KEYS[1]           -- sessions
  local USERS       = KEYS[2]           -- users
  local userKey     = KEYS[3]           -- u:<user>
  -- KEYS[4..n]: s:<sessid>, the candidates
  local prefix      = ARGV[1]           -- of keys
  local defaultIdle = ARGV[2]           -- ms
  local max         = tonumber(ARGV[3]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[4]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[5] == '1'    -- at the cap: evict, else reject
  local owner       = ARGV[6]           -- '' for an anonymous session
  local rest        = ARGV[7]           -- of the record
  local idle        = ARGV[8]           -- ms, '' for the default
  local secretHash  = ARGV[9]           -- the one in rest
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local CREATED, TOO_MANY, ALL_TAKEN = 0, 3, 4

  local free
  for i = 4, #KEYS do
    local record = redis.call('GET', KEYS[i])
    if not isLive(record) then
      free = free or i
    elseif secretHashOf(record) == secretHash and belongsTo(record, owner) then
      return { CREATED, i - 4, expiresOf(record) }
    end
  end
  if not free then return { ALL_TAKEN, 0, 0 } end
  if owner ~= '' and not admits(userKey) then return { TOO_MANY, 0, 0 } end
  local expires = create(KEYS[free], userKey, idle == '' and defaultIdle or idle, owner, rest)
  finishIndices()
  return { CREATED, free - 4, expires }
`,
};

const CREATED = 0;
const TOO_MANY = 3;
const ALL_TAKEN = 4;

/** One issue. */
export class IssueCall implements BatchCall {
  readonly requests: readonly [PreparedIssue];

  constructor(request: PreparedIssue) {
    this.requests = [request];
  }

  add(): boolean {
    return false;
  }

  toScript(keys: RedisKeys, policy: SessionPolicy): ScriptCall {
    const [request] = this.requests;
    return {
      script: ISSUE,
      keys: [
        keys.sessions,
        keys.users,
        keys.user(request.user),
        ...request.candidates.map((sessid) => keys.session(sessid)),
      ],
      args: [
        keys.prefix,
        ...creationArgs(policy),
        ownerText(request.user),
        restText(request),
        idleText(request.idleMs),
        request.secretHash,
      ],
    };
  }

  read(reply: unknown): CallResult {
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
