import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_CREATE } from "./lua-create.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_RECORD } from "./lua-record.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Creates sessions under given sessids, or refreshes those that the same user has; one after the other.
 *
 * Returns two numbers per session: 0 created, 1 refreshed, 2 another user has it, 3 the user has too many; and its expiry.
 */
export const REGISTER: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS    = KEYS[1]           -- x
  local USERS       = KEYS[2]           -- U
  local defaultIdle = ARGV[1]           -- ms
  local max         = tonumber(ARGV[2]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[3]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[4] == '1'    -- at the cap: evict, else reject
  -- KEYS[1 + 2i]: s:<sessid>            ARGV[2 + 3i]: owner, '' for nobody
  -- KEYS[2 + 2i]: u:<user>              ARGV[3 + 3i]: rest of the record; on a refresh without a secret or grants: what it has
  --                                     ARGV[4 + 3i]: idle ms, '' for the default, or on a refresh what it has
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local function register(sessionKey, userKey, owner, rest, idle)
    local record = redis.call('GET', sessionKey)
    if not isLive(record) then
      if owner ~= '' and not admits(userKey) then return 3, 0 end
      return 0, create(sessionKey, userKey, idle == '' and defaultIdle or idle, owner, rest)
    end
    if not belongsTo(record, owner) then return 2, 0 end
    local expires = create(sessionKey, userKey, idle == '' and idleTextOf(record) or idle, owner, inherit(rest, record))
    if owner ~= '' and expires < expiresOf(record) then userExpiries[userKey] = false end
    return 1, expires
  end

  local answer = {}
  for i = 1, (#KEYS - 2) / 2 do
    answer[2 * i - 1], answer[2 * i] =
      register(KEYS[1 + 2 * i], KEYS[2 + 2 * i], ARGV[2 + 3 * i], ARGV[3 + 3 * i], ARGV[4 + 3 * i])
  end
  finishIndices()
  return answer
`,
};
