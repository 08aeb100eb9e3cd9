import { LUA_CLOCK } from "./lua-clock.ts";
import type { RedisScript } from "./redis-script.ts";

/** The live sessions of a user: returns sessid, record, sessid, record, ... in the order of their expiry. */
export const LIST_USER: RedisScript = {
  readOnly: true,
  source: `
  local userKey = KEYS[1] -- u:<user>
${LUA_CLOCK}
  local answer = {}
  for _, sessid in ipairs(redis.call('ZRANGEBYSCORE', userKey, '(' .. nowText, '+inf')) do
    local record = redis.call('GET', 's:' .. sessid)
    if record then
      answer[#answer + 1] = sessid
      answer[#answer + 1] = record
    end
  end
  return answer
`,
};
