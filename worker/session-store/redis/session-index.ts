/** Lua: the leases of bridges. Uses `now`, `nowText` and `prefix`, which the script takes from its ARGV. */
export const LUA_LEASES = `
  local LEASES = prefix .. 'leases'

  -- Adds to a reply: hub, ms, hub, ms, ... of the leases that may still run.
  local function addLeases(reply)
    local leases = redis.call('ZRANGEBYSCORE', LEASES, '(' .. nowText, '+inf', 'WITHSCORES')
    for i = 1, #leases, 2 do
      reply[#reply + 1] = leases[i]
      reply[#reply + 1] = tonumber(leases[i + 1]) - now
    end
    return reply
  end
`;

/**
 * Lua: the indices over live sessions, and the log of what became of them (log.ts). Uses `now` and `nowText`; `SESSIONS` and
 * `USERS`, which the script takes from its KEYS; and `prefix` and `logSize`, which it takes from its ARGV
 * ({@link RedisKeys.writeArgs}). A script reaches users' sets, and through these records, that KEYS cannot name beforehand; this
 * is one reason why Redis Cluster is refused.
 *
 * Each script that writes begins with `trimSessions()`, so the end of an expired session stands in the log before whatever takes
 * its sessid, and ends with `finish()`.
 *
 * Expiries are texts, as `nowText` is: Redis prints a number that a script passes to it with 17 digits, which costs as much as
 * a short command.
 */
export const LUA_INDEX = `${LUA_LEASES}
  local MAX_TRIMMED = 100
  local MAX_LISTED = 1000 -- Lua's stack takes some 8,000 values, so long lists go in parts
  local OWNERS, LOG = prefix .. 'owners', prefix .. 'log'

  local ID_AT = #prefix + #'s:' + 1 -- also where a user begins in the key of its set
  local function sessionKeyOf(sessid) return prefix .. 's:' .. sessid end
  local function userKeyOf(user) return prefix .. 'u:' .. user end
  local function idOf(key) return string.sub(key, ID_AT) end

  -- SESSIONS, USERS, OWNERS and LOG are written at the end: one command with many members costs less than many commands.
  local lines = {}           -- of the log
  local newOwners = {}       -- sessid, owner, sessid, owner, ...
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

  -- owner: of a session, the user as JSON, '' for an anonymous one
  local function logBegan(sessid, owner)
    lines[#lines + 1] = 'b' .. sessid .. owner
    if owner == '' and sessionExpiries[sessid] == nil then return end
    newOwners[#newOwners + 1] = sessid
    newOwners[#newOwners + 1] = owner
  end

  local function logChanged(sessid, owner) lines[#lines + 1] = 'c' .. sessid .. owner end
  local function logDeleted(sessid, owner) lines[#lines + 1] = 'd' .. sessid .. owner end
  local function logEvicted(sessid, owner) lines[#lines + 1] = 'e' .. sessid .. owner end
  local function logExpired(sessid, owner, expired) lines[#lines + 1] = 'x' .. expired .. sessid .. owner end

  local function writeLog()
    for first = 1, #lines, MAX_LISTED do
      local text = table.concat(lines, '\\n', first, math.min(first + MAX_LISTED - 1, #lines))
      redis.call('XADD', LOG, 'MAXLEN', '~', logSize, '*', 'e', nowText .. '\\n' .. text)
    end
  end

  -- An index expires no earlier than its last member, and no later than a session may live.
  local function keepUntil(index, expires)
    if now + redis.call('PTTL', index) < tonumber(expires) then redis.call('PEXPIREAT', index, expires) end
  end

  local function writeSessions()
    local kept, ended = {}, {}
    for sessid, expires in pairs(sessionExpiries) do
      if expires then
        kept[#kept + 1] = expires
        kept[#kept + 1] = sessid
      else
        ended[#ended + 1] = sessid
      end
    end
    if #newOwners > 0 then redis.call('HSET', OWNERS, unpack(newOwners)) end
    for first = 1, #ended, MAX_LISTED do
      local last = math.min(first + MAX_LISTED - 1, #ended)
      redis.call('ZREM', SESSIONS, unpack(ended, first, last))
      redis.call('HDEL', OWNERS, unpack(ended, first, last))
    end
    if #kept == 0 then return end
    redis.call('ZADD', SESSIONS, unpack(kept))
    -- Redis must not drop a session that the log does not know to have ended. Older versions let this key expire.
    redis.call('PERSIST', SESSIONS)
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

  -- Takes expired sessions out of the index and writes their ends; returns how many, MAX_TRIMMED if there may be more.
  local function trimSessions()
    local expired = redis.call('ZRANGEBYSCORE', SESSIONS, '-inf', nowText, 'WITHSCORES', 'LIMIT', 0, MAX_TRIMMED)
    if #expired == 0 then return 0 end
    local sessids = {}
    for i = 1, #expired, 2 do sessids[#sessids + 1] = expired[i] end
    for i, owner in ipairs(redis.call('HMGET', OWNERS, unpack(sessids))) do
      logExpired(sessids[i], owner or '', expired[2 * i])
    end
    redis.call('ZREM', SESSIONS, unpack(sessids))
    redis.call('HDEL', OWNERS, unpack(sessids))
    return #sessids
  end

  local function trimUsers()
    local expired = redis.call('ZRANGEBYSCORE', USERS, '-inf', nowText, 'LIMIT', 0, MAX_TRIMMED)
    if #expired > 0 then redis.call('ZREM', USERS, unpack(expired)) end
    return #expired
  end

  local function finish()
    writeSessions()
    writeUsers()
    trimUsers()
    writeLog()
  end
`;
