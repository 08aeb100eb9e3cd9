import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_RECORD } from "./lua-record.ts";
import { LUA_SLIDE } from "./lua-slide.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * The records of many sessions.
 *
 * Returns first a text as the check script's (13 digits of `now`, then 0, 1 or 2 per key), then per key the record, nil if
 * the session does not live.
 */
export const READ: RedisScript = {
  readOnly: true,
  source: `
  local touchInterval = tonumber(ARGV[1]) -- ms
  local max           = tonumber(ARGV[2]) -- ms, absolute lifetime
  -- KEYS[1..n]: s:<sessid>, at most 1000
${LUA_CLOCK}${LUA_RECORD}${LUA_SLIDE}
  local digits = { nowText }
  local answer = {}
  for i, record in ipairs(redis.call('MGET', unpack(KEYS))) do
    local live = isLive(record)
    digits[i + 1] = not live and '0' or slidTo(record, now) and '2' or '1'
    answer[i + 1] = live and record
  end
  answer[1] = table.concat(digits)
  return answer
`,
};
