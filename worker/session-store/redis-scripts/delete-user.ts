import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_INDEX } from "./lua-index.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Ends all sessions of a user but one; returns how many lived. What the user's set still holds of expired sessions is not
 * touched elsewhere: their sessids may be another user's by now.
 */
export const DELETE_USER: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1] -- x
  local USERS    = KEYS[2] -- U
  local userKey  = KEYS[3] -- u:<user>
  local except   = ARGV[1] -- the sessid that stays, '' for none
${LUA_CLOCK}${LUA_INDEX}
  local sessids = redis.call('ZRANGEBYSCORE', userKey, '(' .. nowText, '+inf')
  local ended, keptUntil = 0, nil
  for _, sessid in ipairs(sessids) do
    if sessid == except then
      keptUntil = redis.call('ZSCORE', userKey, sessid)
    else
      redis.call('DEL', 's:' .. sessid)
      removeFromIndices(sessid)
      ended = ended + 1
    end
  end
  redis.call('DEL', userKey)
  if keptUntil then redis.call('ZADD', userKey, keptUntil, except) end
  settleUser(userKey)
  finishIndices()
  return ended
`,
};
