/**
 * Lua: the indices over live sessions. Uses `now`, `nowText`, and `SESSIONS` and `USERS`, which the script takes from its
 * KEYS. The sets of users and the records that a script reaches through them cannot be named in KEYS beforehand, which is
 * one reason why Redis Cluster is refused.
 *
 * Expiries are texts, as `nowText` is: Redis prints a number that a script gives it with 17 digits, which costs as much as
 * a short command.
 */
export const LUA_INDEX = `
  local MAX_TRIMMED = 100
  local MAX_LISTED = 1000 -- Lua's stack takes some 8,000 values, so long lists go in parts

  -- What SESSIONS and USERS come to hold is written at the end: one command with many members costs less than many.
  local sessionExpiries = {} -- by sessid; false: it has ended
  local userExpiries = {}    -- by the key of the user's set: the latest that the script put there; false: only the set knows

  -- userKey: nil or false for nobody
  local function addToIndices(sessid, userKey, expires)
    sessionExpiries[sessid] = expires
    if not userKey then return end
    redis.call('ZADD', userKey, expires, sessid)
    local latest = userExpiries[userKey]
    if latest == nil or latest and latest < expires then userExpiries[userKey] = expires end
  end

  local function removeFromIndices(sessid, userKey)
    sessionExpiries[sessid] = false
    if not userKey then return end
    redis.call('ZREM', userKey, sessid)
    userExpiries[userKey] = false
  end

  -- An index expires no earlier than its last member, and no later than a session may live.
  local function keepUntil(index, expires)
    if now + redis.call('PTTL', index) < tonumber(expires) then redis.call('PEXPIREAT', index, expires) end
  end

  local function writeSessions()
    local kept, ended, last = {}, {}, nowText
    for sessid, expires in pairs(sessionExpiries) do
      if expires then
        kept[#kept + 1] = expires
        kept[#kept + 1] = sessid
        if expires > last then last = expires end
      else
        ended[#ended + 1] = sessid
      end
    end
    for first = 1, #ended, MAX_LISTED do
      redis.call('ZREM', SESSIONS, unpack(ended, first, math.min(first + MAX_LISTED - 1, #ended)))
    end
    if #kept == 0 then return end
    redis.call('ZADD', SESSIONS, unpack(kept))
    keepUntil(SESSIONS, last)
  end

  -- Makes USERS, and the lifetime of a user's set, follow from what the set holds; returns its last expiry, nil if it is empty.
  local function settleUser(userKey)
    local expires = redis.call('ZREVRANGE', userKey, 0, 0, 'WITHSCORES')[2]
    if expires and expires > nowText then
      redis.call('PEXPIREAT', userKey, expires)
      redis.call('ZADD', USERS, expires, string.sub(userKey, 3))
      return expires
    end
    redis.call('DEL', userKey)
    redis.call('ZREM', USERS, string.sub(userKey, 3))
  end

  -- The same for users who have nothing less than before: then USERS knows the last expiry, for it can only have grown.
  local function settleGrownUsers(userKeys, scores)
    local moved = redis.call('ZADD', USERS, 'GT', 'CH', unpack(scores))
    if moved < #userKeys then
      local users = {}
      for i = 1, #userKeys do users[i] = scores[2 * i] end
      for i, expires in ipairs(redis.call('ZMSCORE', USERS, unpack(users))) do scores[2 * i - 1] = expires end
    end
    for i, userKey in ipairs(userKeys) do redis.call('PEXPIREAT', userKey, scores[2 * i - 1]) end
  end

  local function writeUsers()
    local grown, scores, last = {}, {}, nowText -- scores: expiry, user, expiry, user, ... of those who have grown
    for userKey, expires in pairs(userExpiries) do
      if expires then
        grown[#grown + 1] = userKey
        scores[#scores + 1] = expires
        scores[#scores + 1] = string.sub(userKey, 3)
      else
        expires = settleUser(userKey)
      end
      if expires and expires > last then last = expires end
    end
    if #grown > 0 then settleGrownUsers(grown, scores) end
    if last > nowText then keepUntil(USERS, last) end
  end

  local function trim(index)
    local expired = redis.call('ZRANGEBYSCORE', index, '-inf', nowText, 'LIMIT', 0, MAX_TRIMMED)
    if #expired > 0 then redis.call('ZREM', index, unpack(expired)) end
    return #expired
  end

  local function trimIndices()
    return math.max(trim(SESSIONS), trim(USERS))
  end

  -- Every script that writes ends with this.
  local function finishIndices()
    writeSessions()
    writeUsers()
    trimIndices()
  end
`;
