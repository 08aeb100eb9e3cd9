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
  local defaultIdle = tonumber(ARGV[1]) -- ms
  local max         = tonumber(ARGV[2]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[3]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[4] == '1'    -- at the cap: evict, else reject
  -- KEYS[1 + 2i]: s:<sessid>            ARGV[5i]: user as JSON, '' for nobody
  -- KEYS[2 + 2i]: u:<user>              ARGV[5i + 1]: ip as JSON, '' if unknown
  --                                     ARGV[5i + 2]: idle ms, '' for the default, or on a refresh what it has
  --                                     ARGV[5i + 3]: secret hash, '' for none, or on a refresh what it has
  --                                     ARGV[5i + 4]: grants as JSON, '' for the default, or on a refresh what it has
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local function register(sessionKey, userKey, userJson, ipJson, idle, secretHash, grantsJson)
    local record = redis.call('GET', sessionKey)
    local refreshes = isLive(record)
    if refreshes then
      if not belongsTo(record, userJson) then return 2, 0 end
      if idle == '' then idle = idleOf(record) end
      if secretHash == '' then secretHash = secretHashOf(record) end
      if grantsJson == '' then grantsJson = grantsJsonOf(record) end
    else
      if userJson ~= '' and not admits(userKey) then return 3, 0 end
      if idle == '' then idle = defaultIdle end
    end
    local expires = create(sessionKey, userKey, userJson, ipJson, tonumber(idle), secretHash, grantsJson)
    if refreshes and userJson ~= '' and expires < expiresOf(record) then indexUser(sub(userKey, 3)) end
    return refreshes and 1 or 0, expires
  end

  local answer = {}
  for i = 1, (#KEYS - 2) / 2 do
    answer[2 * i - 1], answer[2 * i] = register(
      KEYS[1 + 2 * i], KEYS[2 + 2 * i], ARGV[5 * i], ARGV[5 * i + 1], ARGV[5 * i + 2], ARGV[5 * i + 3], ARGV[5 * i + 4])
  end
  finishIndices()
  return answer
`,
};
