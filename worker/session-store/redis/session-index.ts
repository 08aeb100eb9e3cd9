/**
 * Lua: the leases of bridges, and whether somebody watches. Uses `now`, and `prefix`, which the script takes from its ARGV.
 *
 * Until when somebody watches has a minus sign: the version before reads what is above now, and would wait for it as for a lease.
 */
export const LUA_LEASES = `
  local LEASES = prefix .. 'leases'

  -- Adds to a reply: hub, ms, hub, ms, ... of the leases that may still run, and of who watches.
  local function addLeases(reply)
    local leases = call('ZRANGE', LEASES, 0, -1, 'WITHSCORES')
    for i = 1, #leases, 2 do
      local ms = math.abs(tonumber(leases[i + 1])) - now
      if ms > 0 then
        reply[#reply + 1] = leases[i]
        reply[#reply + 1] = ms
      end
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
  local slice = string.sub
  local function idOf(key) return slice(key, ID_AT) end

  -- SESSIONS, USERS, OWNERS and LOG are written at the end: one command with many members costs less than many commands.
  local lines = {}        -- of the log
  local entryKind = 'b'   -- the field of its entry: 'b' if all lines are beginnings, else 'e'
  local owners = {}       -- sessid, owner, sessid, owner, ... of sessions that began
  local expiries = {}     -- expiry, sessid, expiry, sessid, ...; of a sessid that comes again the last counts
  local ended = {}        -- by sessid: true if its session has ended, and no other has taken the sessid
  local userExpiries = {} -- by the key of the user's set: the latest that this script put there; false: the set has to be read

  -- userKey: nil or false for an anonymous session
  local function addToIndices(sessid, userKey, expires)
    local count = #expiries
    expiries[count + 1] = expires
    expiries[count + 2] = sessid
    if not userKey then return end
    call('ZADD', userKey, expires, sessid)
    local latest = userExpiries[userKey]
    if latest == nil or latest and latest < expires then userExpiries[userKey] = expires end
  end

  local function removeFromIndices(sessid, userKey)
    ended[sessid] = true
    if not userKey then return end
    call('ZREM', userKey, sessid)
    userExpiries[userKey] = false
  end

  -- owner: of a session, the user as JSON, '' for an anonymous one
  local function logBegan(sessid, owner)
    lines[#lines + 1] = 'b' .. sessid .. owner
    if owner == '' and not ended[sessid] then return end
    ended[sessid] = nil
    local count = #owners
    owners[count + 1] = sessid
    owners[count + 2] = owner
  end

  -- change: 'c' changed, 'd' deleted, 'e' evicted, 'x' and when it did: expired
  local function log(change, sessid, owner)
    lines[#lines + 1] = change .. sessid .. owner
    entryKind = 'e'
  end

  local function writeLog()
    for first = 1, #lines, MAX_LISTED do
      local text = table.concat(lines, '\\n', first, math.min(first + MAX_LISTED - 1, #lines))
      call('XADD', LOG, 'MAXLEN', '~', logSize, '*', entryKind, nowText .. '\\n' .. text)
    end
  end

  -- An index expires no earlier than its last member, and no later than a session may live.
  local function keepUntil(index, expires)
    if now + call('PTTL', index) < tonumber(expires) then call('PEXPIREAT', index, expires) end
  end

  local function writeSessions()
    if #owners > 0 then call('HSET', OWNERS, unpack(owners)) end
    if #expiries > 0 then
      call('ZADD', SESSIONS, unpack(expiries))
      -- Redis must not drop a session that the log does not know to have ended. Older versions let this key expire.
      call('PERSIST', SESSIONS)
    end
    if next(ended) == nil then return end
    local sessids = {}
    for sessid in pairs(ended) do sessids[#sessids + 1] = sessid end
    for first = 1, #sessids, MAX_LISTED do
      local last = math.min(first + MAX_LISTED - 1, #sessids)
      call('ZREM', SESSIONS, unpack(sessids, first, last))
      call('HDEL', OWNERS, unpack(sessids, first, last))
    end
  end

  -- Reads a user's set; writes its last expiry to USERS and to the set's own; returns it, nil if the set is empty.
  local function updateUser(userKey)
    local expires = call('ZREVRANGE', userKey, 0, 0, 'WITHSCORES')[2]
    if expires and expires > nowText then
      call('PEXPIREAT', userKey, expires)
      call('ZADD', USERS, expires, idOf(userKey))
      return expires
    end
    call('DEL', userKey)
    call('ZREM', USERS, idOf(userKey))
  end

  -- The same for users who only got sessions: their last expiry can only have grown, so the sets need not be read.
  local function updateGrownUsers(userKeys, scores)
    local moved = call('ZADD', USERS, 'GT', 'CH', unpack(scores))
    if moved < #userKeys then
      local users = {}
      for i = 1, #userKeys do users[i] = scores[2 * i] end
      for i, expires in ipairs(call('ZMSCORE', USERS, unpack(users))) do scores[2 * i - 1] = expires end
    end
    for i, userKey in ipairs(userKeys) do call('PEXPIREAT', userKey, scores[2 * i - 1]) end
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

  -- A user expires with a session, so this is called with trimSessions.
  local function trimUsers()
    local expired = call('ZRANGEBYSCORE', USERS, '-inf', nowText, 'LIMIT', 0, MAX_TRIMMED)
    if #expired > 0 then call('ZREM', USERS, unpack(expired)) end
    return #expired
  end

  -- Takes expired sessions out of the index and writes their ends; returns how many, MAX_TRIMMED if there may be more.
  local function trimSessions()
    local expired = call('ZRANGEBYSCORE', SESSIONS, '-inf', nowText, 'WITHSCORES', 'LIMIT', 0, MAX_TRIMMED)
    if #expired == 0 then return 0 end
    local sessids = {}
    for i = 1, #expired, 2 do sessids[#sessids + 1] = expired[i] end
    for i, owner in ipairs(call('HMGET', OWNERS, unpack(sessids))) do
      log('x' .. expired[2 * i], sessids[i], owner or '')
    end
    call('ZREM', SESSIONS, unpack(sessids))
    call('HDEL', OWNERS, unpack(sessids))
    trimUsers()
    return #sessids
  end

  local function finish()
    writeSessions()
    writeUsers()
    writeLog()
  end
`;
