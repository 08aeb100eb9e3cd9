import { LUA_CLOCK } from "./lua-clock.ts";
import { LUA_CREATE } from "./lua-create.ts";
import { LUA_INDEX } from "./lua-index.ts";
import { LUA_RECORD } from "./lua-record.ts";
import type { RedisScript } from "./redis-script.ts";

/**
 * Creates a session under the first of a few random sessids that nobody has. If one of them already has the user and the
 * secret that are given, this is the repetition of a request whose answer was lost: then that is the session.
 *
 * Returns 0 created, 3 the user has too many, 4 all the sessids are taken; the session's place among the sessids, from 0;
 * and its expiry.
 */
export const ISSUE: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS    = KEYS[1]           -- x
  local USERS       = KEYS[2]           -- U
  local userKey     = KEYS[3]           -- u:<user>
  local defaultIdle = ARGV[1]           -- ms
  local max         = tonumber(ARGV[2]) -- ms, absolute lifetime
  local cap         = tonumber(ARGV[3]) -- live sessions a user may have, 0: any number
  local evictOldest = ARGV[4] == '1'    -- at the cap: evict, else reject
  local owner       = ARGV[5]           -- '' for nobody
  local rest        = ARGV[6]           -- of the record
  local idle        = ARGV[7]           -- ms, '' for the default
  local secretHash  = ARGV[8]           -- the one in rest
  -- KEYS[4..n]: s:<sessid>, the candidates
${LUA_CLOCK}${LUA_RECORD}${LUA_INDEX}${LUA_CREATE}
  local free
  for i = 4, #KEYS do
    local record = redis.call('GET', KEYS[i])
    if not isLive(record) then
      free = free or i
    elseif secretHashOf(record) == secretHash and belongsTo(record, owner) then
      return { 0, i - 4, expiresOf(record) }
    end
  end
  if not free then return { 4, 0, 0 } end
  if owner ~= '' and not admits(userKey) then return { 3, 0, 0 } end
  local expires = create(KEYS[free], userKey, idle == '' and defaultIdle or idle, owner, rest)
  finishIndices()
  return { 0, free - 4, expires }
`,
};
