/**
 * Lua: the indices over live sessions. Uses `now` and `nowText`; `SESSIONS` and `USERS`, which the script takes from its KEYS;
 * and `prefix`, which it takes from its ARGV. A script reaches users' sets, and through these records, that KEYS cannot name
 * beforehand; this is one reason why Redis Cluster is refused.
 *
 * Expiries are texts, as `nowText` is: Redis prints a number that a script passes to it with 17 digits, which costs as much as
 * a short command.
 */
export const LUA_INDEX = `
  local MAX_TRIMMED = 100
  local MAX_LISTED = 1000 -- Lua's stack takes some 8,000 values, so long lists go in parts

  local ID_AT = #prefix + #'s:' + 1 -- also where a user begins in the key of its set
  local function sessionKeyOf(sessid) return prefix .. 's:' .. sessid end
  local function userKeyOf(user) return prefix .. 'u:' .. user end
  local function idOf(key) return string.sub(key, ID_AT) end

  -- SESSIONS and USERS are written at the end: one command with many members costs less than many commands.
  local sessionExpiries = {} -- by sessid; false: ended
  local userExpiries = {}    -- by the key of the user's set: the latest that this script put there; false: the set has to be read

  -- userKey: nil or false for an anonymous session
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

  -- Reads a user's set; writes its last expiry to USERS and to the set's own; returns it, nil if the set is empty.
  local function updateUser(userKey)
    local expires = redis.call('ZREVRANGE', userKey, 0, 0, 'WITHSCORES')[2]
    if expires and expires > nowText then
      redis.call('PEXPIREAT', userKey, expires)
      redis.call('ZADD', USERS, expires, idOf(userKey))
      return expires
    end
    redis.call('DEL', userKey)
    redis.call('ZREM', USERS, idOf(userKey))
  end

  -- The same for users who only got sessions: their last expiry can only have grown, so the sets need not be read.
  local function updateGrownUsers(userKeys, scores)
    local moved = redis.call('ZADD', USERS, 'GT', 'CH', unpack(scores))
    if moved < #userKeys then
      local users = {}
      for i = 1, #userKeys do users[i] = scores[2 * i] end
      for i, expires in ipairs(redis.call('ZMSCORE', USERS, unpack(users))) do scores[2 * i - 1] = expires end
    end
    for i, userKey in ipairs(userKeys) do redis.call('PEXPIREAT', userKey, scores[2 * i - 1]) end
  end

  local function writeUsers()
    local grown, scores, last = {}, {}, nowText -- scores: expiry, user, expiry, user, ... of grown
    for userKey, expires in pairs(userExpiries) do
      if expires then
        grown[#grown + 1] = userKey
        scores[#scores + 1] = expires
        scores[#scores + 1] = idOf(userKey)
      else
        expires = updateUser(userKey)
      end
      if expires and expires > last then last = expires end
    end
    if #grown > 0 then updateGrownUsers(grown, scores) end
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
