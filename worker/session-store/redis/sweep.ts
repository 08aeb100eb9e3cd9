import type { EndedSessions } from "../session-store.ts";
import type { RedisScript, ScriptCall } from "./scripts.ts";
import { LUA_INDEX } from "./session-index.ts";
import { LUA_CLOCK, LUA_RECORD, type RedisKeys } from "./session-record.ts";

/**
 * Trims a bounded number of expired members from each index. Returns 1 if there may be more, else 0. Records and users' sets
 * need no sweep: Redis expires them.
 */
export const SWEEP: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- sessions
  local USERS    = KEYS[2] -- users
  local prefix   = ARGV[1] -- of keys
${LUA_CLOCK}${LUA_INDEX}
  for _ = 1, 10 do
    if trimIndices() < MAX_TRIMMED then return 0 end
  end
  return 1
`,
};

export function sweepCall(keys: RedisKeys): ScriptCall {
  return { script: SWEEP, keys: [keys.sessions, keys.users], args: [keys.prefix] };
}

/** What the reply says: whether there may be more to sweep. */
export function isSweepIncomplete(reply: unknown): boolean {
  return reply === 1;
}

/**
 * Ends up to `limit` sessions, whosever they are. Returns how many of them lived, and 1 if there may be more, else 0: then
 * there was none at this moment.
 */
export const END_SOME: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1]           -- sessions
  local USERS    = KEYS[2]           -- users
  local prefix   = ARGV[1]           -- of keys
  local limit    = tonumber(ARGV[2]) -- at most MAX_LISTED
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}
  local sessids = redis.call('ZRANGE', SESSIONS, 0, limit - 1)
  if #sessids == 0 then return {0, 0} end
  local keys = {}
  for i, sessid in ipairs(sessids) do keys[i] = sessionKeyOf(sessid) end
  local ended = 0
  for i, record in ipairs(redis.call('MGET', unpack(keys))) do
    local user = record and userOf(record)
    removeFromIndices(sessids[i], user and userKeyOf(user))
    if isLive(record) then ended = ended + 1 end
  end
  redis.call('DEL', unpack(keys))
  finishIndices()
  return {ended, #sessids == limit and 1 or 0}
`,
};

/** A script that ends so many sessions of as many users keeps Redis busy for 2 to 4 ms. */
const ENDED_PER_CALL = 250;

export function endSomeCall(keys: RedisKeys): ScriptCall {
  return { script: END_SOME, keys: [keys.sessions, keys.users], args: [keys.prefix, String(ENDED_PER_CALL)] };
}

/** What the reply says; undefined if it is not of this script. */
export function parseEnded(reply: unknown): EndedSessions | undefined {
  if (!Array.isArray(reply) || !Number.isSafeInteger(reply[0])) return undefined;
  return { ended: Number(reply[0]), complete: reply[1] === 0 };
}
