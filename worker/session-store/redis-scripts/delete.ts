import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_RECORD } from "./lua-record.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Ends sessions, one after the other.
 *
 * Returns a number per session: 0 ended, 1 not found, 2 it has another user or another secret. The repetition of a request
 * whose answer was lost says "not found" where the first had ended the session: either way it has ended.
 */
export const DELETE: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- x
  local USERS    = KEYS[2] -- U
  -- KEYS[2 + i]: s:<sessid>; ARGV[2i - 1]: the owner it must have, '' for any;
  --                          ARGV[2i]: the secret hash it must have, '' for any
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}
  local function delete(key, owner, secretHash)
    local record = redis.call('GET', key)
    if not isLive(record) then return 1 end
    if owner ~= '' and not belongsTo(record, owner) then return 2 end
    if secretHash ~= '' and secretHashOf(record) ~= secretHash then return 2 end
    local user = userOf(record)
    redis.call('DEL', key)
    removeFromIndices(sub(key, 3), user and 'u:' .. user)
    return 0
  end

  local answer = {}
  for i = 1, #KEYS - 2 do
    answer[i] = delete(KEYS[2 + i], ARGV[2 * i - 1], ARGV[2 * i])
  end
  finishIndices()
  return answer
`,
};
