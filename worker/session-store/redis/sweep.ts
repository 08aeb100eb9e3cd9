import { type Leases, WATCHERS } from "../session-log.ts";
import type { EndedSessions } from "../session-store.ts";
import { asInteger, asList, parseLeases, type RedisScript, type ScriptCall } from "./scripts.ts";
import { LUA_INDEX } from "./session-index.ts";
import { LUA_CLOCK, LUA_RECORD, type RedisKeys } from "./session-record.ts";

/**
 * Trims a bounded number of expired members from each index, and writes the ends of these sessions. Returns 1 if there may be more,
 * else 0; then the leases, if it wrote ends. Records and users' sets need no sweep: Redis expires them.
 */
export const SWEEP: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- sessions
  local USERS    = KEYS[2] -- users
  local prefix   = ARGV[1] -- of keys
  local logSize  = ARGV[2] -- entries that the log keeps at least
${LUA_CLOCK}${LUA_INDEX}
  local mayBeMore, trims = 1, 0
  while mayBeMore == 1 and trims < 10 do
    if math.max(trimSessions(), trimUsers()) < MAX_TRIMMED then mayBeMore = 0 end
    trims = trims + 1
  end
  finish()
  return #lines > 0 and addLeases({ mayBeMore }) or { mayBeMore }
`,
};

export function sweepCall(keys: RedisKeys): ScriptCall {
  return { script: SWEEP, keys: [keys.sessions, keys.users], args: keys.writeArgs };
}

/** What the reply says: whether there may be more to sweep, and who watches if ends were written. Throws UnexpectedReply. */
export function parseSwept(reply: unknown): { readonly mayHaveMore: boolean; readonly watchers: Leases } {
  const [mayBeMore, ...leases] = asList(reply);
  // No bridge need acknowledge that a session has expired.
  const watchers = [...parseLeases(leases)].filter(([name]) => name === WATCHERS);
  return { mayHaveMore: mayBeMore === 1, watchers: new Map(watchers) };
}

/**
 * Ends up to `limit` sessions, whosever they are. Returns how many of them lived, 1 if there may be more, else 0: then there
 * was none at this moment; and the leases.
 */
export const END_SOME: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1]           -- sessions
  local USERS    = KEYS[2]           -- users
  local prefix   = ARGV[1]           -- of keys
  local logSize  = ARGV[2]           -- entries that the log keeps at least
  local limit    = tonumber(ARGV[3]) -- at most MAX_LISTED
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}
  local function endSome()
    local listed = call('ZRANGE', SESSIONS, 0, limit - 1, 'WITHSCORES')
    if #listed == 0 then return 0, 0 end
    local sessids, keys = {}, {}
    for i = 1, #listed / 2 do
      sessids[i] = listed[2 * i - 1]
      keys[i] = sessionKeyOf(sessids[i])
    end
    local owners = call('HMGET', OWNERS, unpack(sessids))
    local ended = 0
    for i, record in ipairs(call('MGET', unpack(keys))) do
      local user, owner
      if record then user, owner = userOf(record) end
      removeFromIndices(sessids[i], user and userKeyOf(user))
      if isLive(record) then
        log('d', sessids[i], owner)
        ended = ended + 1
      else
        log('x' .. listed[2 * i], sessids[i], owners[i] or owner or '')
      end
    end
    call('DEL', unpack(keys))
    return ended, #sessids == limit and 1 or 0
  end

  trimSessions()
  local ended, mayBeMore = endSome()
  finish()
  return addLeases({ ended, mayBeMore })
`,
};

/** A script that ends so many sessions of as many users keeps Redis busy for 2 to 4 ms. */
const ENDED_PER_CALL = 250;

export function endSomeCall(keys: RedisKeys): ScriptCall {
  return { script: END_SOME, keys: [keys.sessions, keys.users], args: [...keys.writeArgs, String(ENDED_PER_CALL)] };
}

/** What the reply says. Throws UnexpectedReply. */
export function parseEnded(reply: unknown): EndedSessions & { readonly leases: Leases } {
  const [ended, mayBeMore, ...leases] = asList(reply);
  return { ended: asInteger(ended), complete: mayBeMore === 0, leases: parseLeases(leases) };
}
