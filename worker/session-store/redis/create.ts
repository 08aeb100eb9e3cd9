import { failedResponse, type RegisterRequest, type SessionResponse } from "../../../protocol/session-request.ts";
import { makeToken } from "../../../protocol/session-token.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import type { PreparedIssue, PreparedRequest } from "../session-store.ts";
import {
  asCode,
  asInteger,
  asList,
  type BatchCall,
  type CallResult,
  MAX_WRITES_PER_CALL,
  parseLeases,
  type RedisScript,
  type ScriptCall,
  UnexpectedReply,
} from "./scripts.ts";
import { LUA_INDEX } from "./session-index.ts";
import { LUA_CLOCK, LUA_RECORD, ownerText, type RedisKeys, restText } from "./session-record.ts";

/**
 * Lua: creates sessions within the cap per user, after it has trimmed the index. Uses `cap` (live sessions a user may have, 0 is no
 * limit), `evictOldest` and `max` (ms), which the script takes from its ARGV ({@link creationArgs}).
 */
const LUA_CREATE = `
  local mayHoldExpired = trimSessions() == MAX_TRIMMED -- the index of all sessions
  local hasEvicted = false
  local evicted = {}    -- by the session's key
  local liveCounts = {} -- by the key of the user's set, of users that this script has counted

  -- The sessids of a user, the oldest session first.
  local function byCreation(userKey)
    local sessids = call('ZRANGE', userKey, 0, -1)
    local created = {}
    for first = 1, #sessids, MAX_LISTED do
      local keys = {}
      for i = first, math.min(first + MAX_LISTED - 1, #sessids) do keys[#keys + 1] = sessionKeyOf(sessids[i]) end
      for i, record in ipairs(call('MGET', unpack(keys))) do
        created[sessids[first + i - 1]] = record and createdOf(record) or 0
      end
    end
    table.sort(sessids, function(a, b)
      if created[a] ~= created[b] then return created[a] < created[b] end
      return tonumber(a) < tonumber(b)
    end)
    return sessids
  end

  local function evict(userKey, owner, count)
    local oldest = byCreation(userKey)
    for i = 1, count do
      local key = sessionKeyOf(oldest[i])
      call('DEL', key)
      evicted[key] = true
      removeFromIndices(oldest[i], userKey)
      log('e', oldest[i], owner)
    end
    hasEvicted = true
  end

  -- Whether the user may have one more session, which the script must create then. Makes room for it if that is the policy.
  local function admits(userKey, owner)
    local count = liveCounts[userKey]
    if not count then
      count = call('ZCARD', userKey)
      if count > 0 then count = count - call('ZREMRANGEBYSCORE', userKey, '-inf', nowText) end
      liveCounts[userKey] = count
    end
    if cap > 0 and count >= cap then
      if not evictOldest then return false end
      evict(userKey, owner, count - cap + 1)
      count = cap - 1
    end
    liveCounts[userKey] = count + 1
    return true
  end

  local starts = {} -- by idle: what all sessions have in common that start now with this idle time

  local function startOf(idle)
    local start = starts[idle]
    if not start then
      local expires = now + math.min(tonumber(idle), max)
      local text = string.format('%.0f', expires)
      start = { expires = expires, expiresText = text, lasts = lastOf(expires), head = headOf(text, nowText, nowText, idle) }
      starts[idle] = start
    end
    return start
  end

  -- Writes a session that starts now; returns its expiry. idle: ms as text
  local function write(sessionKey, sessid, userKey, idle, owner, rest)
    local start = startOf(idle)
    local record = owner == '' and start.head .. rest or start.head .. ',"u":' .. owner .. rest
    call('SET', sessionKey, record, 'PXAT', start.lasts)
    addToIndices(sessid, owner ~= '' and userKey, start.expiresText)
    return start.expires
  end

  -- The same for a session that did not live; one that expired under this sessid may still be in the index.
  local function create(sessionKey, userKey, idle, owner, rest)
    local sessid = idOf(sessionKey)
    if mayHoldExpired and not ended[sessid] then
      local expired = call('ZSCORE', SESSIONS, sessid)
      if expired then
        log('x' .. expired, sessid, call('HGET', OWNERS, sessid) or '')
        ended[sessid] = true
      end
    end
    logBegan(sessid, owner)
    return write(sessionKey, sessid, userKey, idle, owner, rest)
  end
`;

/**
 * Creates sessions under given sessids, or refreshes those that the same user has; one after the other.
 *
 * Returns two numbers per session, a code ({@link REGISTER_OUTCOMES}) and its expiry; then, if one may have ended or changed
 * what bridges keep, the leases. A refresh that gives what the session has may repeat one whose reply was lost.
 */
export const REGISTER: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS    = KEYS[1]           -- sessions
  local USERS       = KEYS[2]           -- users
  -- KEYS[1 + 2i]: s:<sessid>
  -- KEYS[2 + 2i]: u:<user>
  local prefix      = ARGV[1]           -- of keys
  local logSize     = ARGV[2]           -- entries that the log keeps at least
  local defaultIdle = ARGV[3]           -- ms
  local max         = tonumber(ARGV[4]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[5]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[6] == '1'    -- at the cap: evict, else reject
  local hasRepeats  = ARGV[7] == '1'    -- whether a session comes more than once
  -- ARGV[5 + 3i]: owner, '' for an anonymous session
  -- ARGV[6 + 3i]: rest of the record; a refresh without a secret or grants keeps what the session has
  -- ARGV[7 + 3i]: idle ms; '' for the default, and in a refresh for what the session has
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local CREATED, REFRESHED, OF_ANOTHER_USER, TOO_MANY = 0, 1, 2, 3

  local hasChanged = false

  -- record: as it was before the script
  local function register(record, sessionKey, userKey, owner, rest, idle)
    if hasRepeats or evicted[sessionKey] then record = call('GET', sessionKey) end
    if not isLive(record) then
      if owner ~= '' and not admits(userKey, owner) then return TOO_MANY, 0 end
      return CREATED, create(sessionKey, userKey, idle == '' and defaultIdle or idle, owner, rest)
    end
    if not belongsTo(record, owner) then return OF_ANOTHER_USER, 0 end
    local newRest, gives, changes = inherit(rest, record)
    local sessid = idOf(sessionKey)
    local expires = write(sessionKey, sessid, userKey, idle == '' and idleTextOf(record) or idle, owner, newRest)
    local isEarlier = expires < expiresOf(record)
    if isEarlier and owner ~= '' then userExpiries[userKey] = false end
    if isEarlier or changes then log('c', sessid, owner) end
    -- Or it may repeat, at a user's cap, the register that created the session and evicted another.
    hasChanged = hasChanged or isEarlier or gives or (evictOldest and cap > 0)
    return REFRESHED, expires
  end

  local sessionKeys, reply = {}, {}
  for i = 1, (#KEYS - 2) / 2 do sessionKeys[i] = KEYS[1 + 2 * i] end
  for i, record in ipairs(call('MGET', unpack(sessionKeys))) do
    reply[2 * i - 1], reply[2 * i] =
      register(record, KEYS[1 + 2 * i], KEYS[2 + 2 * i], ARGV[5 + 3 * i], ARGV[6 + 3 * i], ARGV[7 + 3 * i])
  end
  finish()
  if hasEvicted or hasChanged then return addLeases(reply) end
  return reply
`,
};

/** What the codes of REGISTER mean, by their number. */
const REGISTER_OUTCOMES = [
  { status: Status.Ok, created: true },
  { status: Status.Ok, created: false },
  { status: Status.Conflict, created: false },
  { status: Status.TooMany, created: false },
] as const;

/** Consecutive register requests of a batch, in one call. */
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
        ...keys.writeArgs,
        ...creationArgs(policy),
        new Set(this.requests.map(({ sessid }) => sessid)).size < this.requests.length ? "1" : "0",
        ...this.requests.flatMap((request) => [ownerText(request.user), restText(request), idleText(request.idleMs)]),
      ],
    };
  }

  read(reply: unknown): CallResult {
    const numbers = asList(reply);
    const responses = this.requests.map((_, index): SessionResponse => {
      const outcome = asCode(REGISTER_OUTCOMES, numbers[2 * index]);
      return { kind: "register", ...outcome, expiresAt: asInteger(numbers[2 * index + 1]) };
    });
    return { responses, touches: [], leases: parseLeases(numbers.slice(2 * responses.length)) };
  }
}

/**
 * Creates a session under the first of a few random sessids that is free. If one of them has the given user and secret
 * already, the call repeats one whose reply was lost, and the script returns that session.
 *
 * Returns a code, the position of the session's sessid among the given ones, from 0, and the expiry; then, if it has ended
 * another session, the leases.
 */
export const ISSUE: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS    = KEYS[1]           -- sessions
  local USERS       = KEYS[2]           -- users
  local userKey     = KEYS[3]           -- u:<user>
  -- KEYS[4..n]: s:<sessid>, the candidates
  local prefix      = ARGV[1]           -- of keys
  local logSize     = ARGV[2]           -- entries that the log keeps at least
  local defaultIdle = ARGV[3]           -- ms
  local max         = tonumber(ARGV[4]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[5]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[6] == '1'    -- at the cap: evict, else reject
  local owner       = ARGV[7]           -- '' for an anonymous session
  local rest        = ARGV[8]           -- of the record
  local idle        = ARGV[9]           -- ms, '' for the default
  local secretHash  = ARGV[10]          -- the one in rest
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local CREATED, TOO_MANY, ALL_TAKEN = 0, 3, 4

  local function issue()
    local free
    for i = 4, #KEYS do
      local record = call('GET', KEYS[i])
      if not isLive(record) then
        free = free or i
      elseif secretHashOf(record) == secretHash and belongsTo(record, owner) then
        return { CREATED, i - 4, expiresOf(record) }
      end
    end
    if not free then return { ALL_TAKEN, 0, 0 } end
    if owner ~= '' and not admits(userKey, owner) then return { TOO_MANY, 0, 0 } end
    return { CREATED, free - 4, create(KEYS[free], userKey, idle == '' and defaultIdle or idle, owner, rest) }
  end

  local reply = issue()
  finish()
  if hasEvicted then return addLeases(reply) end
  return reply
`,
};

/** The codes of ISSUE. */
const CREATED = 0;
const TOO_MANY = 3;
const ALL_TAKEN = 4;

/** One issue request. */
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
        ...keys.writeArgs,
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
    const [code, place, expiresAt] = asList(reply).slice(0, 3).map(asInteger);
    const leases = parseLeases(asList(reply).slice(3));
    if (code === TOO_MANY) return { responses: [failedResponse("issue", Status.TooMany)], touches: [] };
    if (code === ALL_TAKEN) return { responses: [failedResponse("issue", Status.Unavailable)], touches: [] };
    const sessid = candidates[place ?? -1];
    if (code !== CREATED || sessid === undefined || expiresAt === undefined) throw new UnexpectedReply();
    const token = makeToken(sessid, secret);
    return { responses: [{ kind: "issue", status: Status.Ok, sessid, token, expiresAt }], touches: [], leases };
  }
}

/** ARGV[3..6] of the scripts that create sessions. */
function creationArgs(policy: SessionPolicy): string[] {
  return [
    String(policy.idleMs),
    String(policy.maxMs),
    String(policy.maxSessionsPerUser),
    policy.limitPolicy === "evict-oldest" ? "1" : "0",
  ];
}

/** An idle time as an argument of the scripts; "" is the default. */
function idleText(idleMs: number | undefined): string {
  return idleMs === undefined ? "" : String(idleMs);
}
