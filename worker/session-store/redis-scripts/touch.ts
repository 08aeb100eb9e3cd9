import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_RECORD } from "./lua-record.ts";
import { LUA_SLIDE } from "./lua-slide.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Slides the lifetimes of sessions that were found live, each to where its check would have moved it: a touch that comes
 * late neither lengthens a life nor brings back a session that has ended since, nor one that another has begun since.
 */
export const TOUCH: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS      = KEYS[1]           -- x
  local USERS         = KEYS[2]           -- U
  local touchInterval = tonumber(ARGV[1]) -- ms
  local max           = tonumber(ARGV[2]) -- ms, absolute lifetime
  -- KEYS[2 + i]: s:<sessid>; ARGV[2 + i]: epoch ms of its check
${LUA_CLOCK}${LUA_RECORD}${LUA_SLIDE}${LUA_INDEX}
  for i = 1, #KEYS - 2 do
    local key = KEYS[2 + i]
    local at = ARGV[2 + i] < nowText and ARGV[2 + i] or nowText
    local record = redis.call('GET', key)
    local expires = isLive(record) and slidTo(record, tonumber(at))
    if expires then
      local expiresText = string.format('%.0f', expires)
      redis.call('SET', key, withTimes(record, expiresText, at), 'PXAT', expiresText)
      local user = userOf(record)
      addToIndices(sub(key, 3), user and 'u:' .. user, expiresText)
    end
  end
  finishIndices()
  return 'OK'
`,
};
