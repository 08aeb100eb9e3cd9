import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_INDEX } from "./lua-index.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Ends all sessions of a user; returns how many lived. What the user's set still holds of expired sessions is not touched
 * elsewhere: their sessids may be another user's by now.
 */
export const DELETE_USER: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- x
  local USERS    = KEYS[2] -- U
  local userKey  = KEYS[3] -- u:<user>
${LUA_CLOCK}${LUA_INDEX}
  local sessids = redis.call('ZRANGEBYSCORE', userKey, '(' .. nowText, '+inf')
  for _, sessid in ipairs(sessids) do
    redis.call('DEL', 's:' .. sessid)
    removeFromIndices(sessid)
  end
  redis.call('DEL', userKey)
  redis.call('ZREM', USERS, string.sub(userKey, 3))
  finishIndices()
  return #sessids
`,
};
