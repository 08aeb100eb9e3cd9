import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_RECORD } from "./lua-record.ts";
import { LUA_SLIDE } from "./lua-slide.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Which of many sessions live, and which of those a touch is due for.
 *
 * Returns one text: the 13 digits of `now`, then a digit per key: 0 not found, 1 live, 2 live and a touch is due. After
 * it comes a nil if any was not found: redis-rest asks a read that holds a nil again at the primary.
 */
export const CHECK: RedisScript = {
  readOnly: true,
  source: `
  local touchInterval = tonumber(ARGV[1]) -- ms
  local max           = tonumber(ARGV[2]) -- ms, absolute lifetime
  local usualIdle     = ARGV[3]           -- ms, what most sessions have
  -- KEYS[1..n]: s:<sessid>, at most 1000
${LUA_CLOCK}${LUA_RECORD}${LUA_SLIDE}
  -- Who has the usual idle time and so much life left was touched lately: of most records two slices are all that is
  -- looked at, and times of 13 digits compare as texts.
  local untouched = math.min(touchInterval, tonumber(usualIdle) / 10)
  local freshText = string.format('%.0f', now + tonumber(usualIdle) - untouched)
  local usual = usualIdle .. ','
  local usualEnd = BODY_FOLLOWS - 1 + #usual

  local answer = { nowText }
  local allFound = true
  for i, record in ipairs(redis.call('MGET', unpack(KEYS))) do
    local expires = record and sub(record, 6, 18)
    if not record or expires <= nowText then
      allFound = false
      answer[i + 1] = '0'
    elseif expires > freshText and sub(record, BODY_FOLLOWS, usualEnd) == usual then
      answer[i + 1] = '1'
    elseif slidTo(record, now) then
      answer[i + 1] = '2'
    else
      answer[i + 1] = '1'
    end
  end
  if allFound then return { table.concat(answer) } end
  return { table.concat(answer), false }
`,
};
