import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_RECORD } from "./lua-record.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Ends sessions, whosever they are, up to a number that keeps Redis busy for a few ms only. Returns how many of them lived,
 * and 1 if there may be more, else 0: then there was none at this moment.
 */
export const END_SOME: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1]           -- x
  local USERS    = KEYS[2]           -- U
  local limit    = tonumber(ARGV[1]) -- at most MAX_LISTED
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}
  local sessids = redis.call('ZRANGE', SESSIONS, 0, limit - 1)
  if #sessids == 0 then return {0, 0} end
  local keys = {}
  for i, sessid in ipairs(sessids) do keys[i] = 's:' .. sessid end
  local ended = 0
  for i, record in ipairs(redis.call('MGET', unpack(keys))) do
    local user = record and userOf(record)
    removeFromIndices(sessids[i], user and 'u:' .. user)
    if isLive(record) then ended = ended + 1 end
  end
  redis.call('DEL', unpack(keys))
  finishIndices()
  return {ended, #sessids == limit and 1 or 0}
`,
};
