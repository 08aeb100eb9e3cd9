/**
 * Lua: the indices over live sessions. Uses `now`, and `SESSIONS` and `USERS`, which the script takes from its KEYS.
 * The sets of users and the records that a script reaches through them cannot be named in KEYS beforehand, which is one
 * reason why Redis Cluster is refused.
 */
export const LUA_INDEX = `
  local MAX_TRIMMED = 100

  local lastSession, lastUser = 0, 0 -- the latest expiries that this script has added to the indices

  -- Makes USERS, and the lifetime of the user's set, follow from what the set holds: after something has left it, or has
  -- come to end earlier.
  local function indexUser(user)
    local userKey = 'u:' .. user
    local last = redis.call('ZREVRANGE', userKey, 0, 0, 'WITHSCORES')
    local expires = tonumber(last[2] or 0)
    if expires > now then
      redis.call('PEXPIREAT', userKey, expires)
      redis.call('ZADD', USERS, expires, user)
      lastUser = math.max(lastUser, expires)
    else
      redis.call('DEL', userKey)
      redis.call('ZREM', USERS, user)
    end
  end

  -- For a session that is new or lives longer: then the user's last expiry can only grow.
  local function addToIndices(sessid, user, expires)
    redis.call('ZADD', SESSIONS, expires, sessid)
    lastSession = math.max(lastSession, expires)
    if user then
      redis.call('ZADD', 'u:' .. user, expires, sessid)
      if redis.call('ZADD', USERS, 'GT', 'CH', expires, user) == 1 then
        redis.call('PEXPIREAT', 'u:' .. user, expires)
        lastUser = math.max(lastUser, expires)
      end
    end
  end

  local function trim(index)
    local expired = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, MAX_TRIMMED)
    if #expired > 0 then redis.call('ZREM', index, unpack(expired)) end
    return #expired
  end

  local function trimIndices()
    return math.max(trim(SESSIONS), trim(USERS))
  end

  -- An index expires no earlier than its last member, and no later than a session may live.
  local function keepUntil(key, expires)
    if now + redis.call('PTTL', key) < expires then redis.call('PEXPIREAT', key, expires) end
  end

  -- Every script that writes ends with this.
  local function finishIndices()
    if lastSession > 0 then keepUntil(SESSIONS, lastSession) end
    if lastUser > 0 then keepUntil(USERS, lastUser) end
    trimIndices()
  end
`;
