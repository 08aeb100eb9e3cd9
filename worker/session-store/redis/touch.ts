import type { SessionPolicy } from "../session-lifetime.ts";
import { MAX_WRITES_PER_CALL, type RedisScript, type ScriptCall, type Touch } from "./scripts.ts";
import { LUA_INDEX } from "./session-index.ts";
import { LUA_CLOCK, LUA_RECORD, LUA_RENEWAL, type RedisKeys } from "./session-record.ts";

/**
 * Moves the expiry of sessions that were found live, each to where its check would have moved it. So a touch that comes late
 * does not lengthen a life, and it never brings back a session that has ended since, nor changes one that began since.
 */
export const TOUCH: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS      = KEYS[1]           -- sessions
  local USERS         = KEYS[2]           -- users
  -- KEYS[2 + i]: s:<sessid>, each one once
  local prefix        = ARGV[1]           -- of keys
  local logSize       = ARGV[2]           -- entries that the log keeps at least
  local touchInterval = tonumber(ARGV[3]) -- ms
  local max           = tonumber(ARGV[4]) -- ms, absolute lifetime
  -- ARGV[4 + i]: epoch ms of its check
${LUA_CLOCK}${LUA_RECORD}${LUA_RENEWAL}${LUA_INDEX}
  trimSessions()
  for i, record in ipairs(call('MGET', unpack(KEYS, 3))) do
    local key = KEYS[2 + i]
    local at = ARGV[4 + i] < nowText and ARGV[4 + i] or nowText
    local expires = isLive(record) and renewedExpiry(record, tonumber(at))
    if expires then
      local expiresText = string.format('%.0f', expires)
      call('SET', key, withTimes(record, expiresText, at), 'PXAT', lastOf(expires))
      local user = userOf(record)
      addToIndices(idOf(key), user and userKeyOf(user), expiresText)
    end
  end
  finish()
  return 'OK'
`,
};

/** The calls that write these touches; of several touches of one session the last. */
export function touchCalls(touches: readonly Touch[], keys: RedisKeys, policy: SessionPolicy): ScriptCall[] {
  const latest = [...new Map(touches.map(({ sessid, at }) => [sessid, at]))];
  const calls: ScriptCall[] = [];
  for (let first = 0; first < latest.length; first += MAX_WRITES_PER_CALL) {
    const part = latest.slice(first, first + MAX_WRITES_PER_CALL);
    calls.push({
      script: TOUCH,
      keys: [keys.sessions, keys.users, ...part.map(([sessid]) => keys.session(sessid))],
      args: [
        ...keys.writeArgs,
        String(policy.touchIntervalMs),
        String(policy.maxMs),
        ...part.map(([, checkedAt]) => String(checkedAt)),
      ],
    });
  }
  return calls;
}
