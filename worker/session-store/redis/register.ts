import type { RegisterRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { PreparedRequest } from "../prepared-issue.ts";
import type { SessionPolicy } from "../session-store.ts";
import { creationArgs, idleText, LUA_CREATE } from "./lua-create.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_CLOCK, LUA_RECORD, ownerText, type RedisKeys, restText } from "./record.ts";
import {
  asCode,
  asInteger,
  asList,
  type BatchCall,
  type CallResult,
  MAX_WRITES_PER_CALL,
  type RedisScript,
  type ScriptCall,
} from "./scripts.ts";

/**
 * Creates sessions under given sessids, or refreshes those that the same user has; one after the other.
 *
 * Returns two numbers per session: a code ({@link OUTCOMES}) and its expiry.
 */
export const REGISTER: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS    = KEYS[1]           -- sessions
  local USERS       = KEYS[2]           -- users
  -- KEYS[1 + 2i]: s:<sessid>
  -- KEYS[2 + 2i]: u:<user>
  local prefix      = ARGV[1]           -- of keys
  local defaultIdle = ARGV[2]           -- ms
  local max         = tonumber(ARGV[3]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[4]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[5] == '1'    -- at the cap: evict, else reject
  -- ARGV[3 + 3i]: owner, '' for an anonymous session
  -- ARGV[4 + 3i]: rest of the record; a refresh without a secret or grants keeps what the session has
  -- ARGV[5 + 3i]: idle ms; '' for the default, and in a refresh for what the session has
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local CREATED, REFRESHED, OF_ANOTHER_USER, TOO_MANY = 0, 1, 2, 3

  local function register(sessionKey, userKey, owner, rest, idle)
    local record = redis.call('GET', sessionKey)
    if not isLive(record) then
      if owner ~= '' and not admits(userKey) then return TOO_MANY, 0 end
      return CREATED, create(sessionKey, userKey, idle == '' and defaultIdle or idle, owner, rest)
    end
    if not belongsTo(record, owner) then return OF_ANOTHER_USER, 0 end
    local expires = create(sessionKey, userKey, idle == '' and idleTextOf(record) or idle, owner, inherit(rest, record))
    if owner ~= '' and expires < expiresOf(record) then userExpiries[userKey] = false end
    return REFRESHED, expires
  end

  local reply = {}
  for i = 1, (#KEYS - 2) / 2 do
    reply[2 * i - 1], reply[2 * i] =
      register(KEYS[1 + 2 * i], KEYS[2 + 2 * i], ARGV[3 + 3 * i], ARGV[4 + 3 * i], ARGV[5 + 3 * i])
  end
  finishIndices()
  return reply
`,
};

/** What the script's codes mean, by their number. */
const OUTCOMES = [
  { status: Status.Ok, created: true },
  { status: Status.Ok, created: false },
  { status: Status.Conflict, created: false },
  { status: Status.TooMany, created: false },
] as const;

/** Neighbouring registers. */
export class RegisterCall implements BatchCall {
  readonly requests: RegisterRequest[] = [];

  constructor(first: RegisterRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "register" || this.requests.length === MAX_WRITES_PER_CALL) return false;
    this.requests.push(request);
    return true;
  }

  toScript(keys: RedisKeys, policy: SessionPolicy): ScriptCall {
    return {
      script: REGISTER,
      keys: [
        keys.sessions,
        keys.users,
        ...this.requests.flatMap(({ sessid, user }) => [keys.session(sessid), keys.user(user)]),
      ],
      args: [
        keys.prefix,
        ...creationArgs(policy),
        ...this.requests.flatMap((request) => [ownerText(request.user), restText(request), idleText(request.idleMs)]),
      ],
    };
  }

  read(reply: unknown): CallResult {
    const numbers = asList(reply);
    const responses = this.requests.map((_, index): SessionResponse => {
      const outcome = asCode(OUTCOMES, numbers[2 * index]);
      return { kind: "register", ...outcome, expiresAt: asInteger(numbers[2 * index + 1]) };
    });
    return { responses, touches: [] };
  }
}
