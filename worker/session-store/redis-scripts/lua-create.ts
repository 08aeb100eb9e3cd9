/**
 * Lua: how a session comes to be. Uses `cap` (live sessions a user may have, 0 is no limit), `evictOldest`, `max` (ms) and
 * `defaultIdle` (ms), which the script takes from its ARGV.
 */
export const LUA_CREATE = `
  -- Lua's stack takes some 8,000 values, so long lists are fetched in parts.
  local MAX_FETCHED = 1000

  local function endSessions(userKey, oldest, count)
    for i = 1, count do
      local sessid = oldest[i].sessid
      redis.call('DEL', 's:' .. sessid)
      redis.call('ZREM', userKey, sessid)
      redis.call('ZREM', SESSIONS, sessid)
    end
    indexUser(sub(userKey, 3))
  end

  local function byCreation(userKey)
    local sessids = redis.call('ZRANGE', userKey, 0, -1)
    local sessions = {}
    for first = 1, #sessids, MAX_FETCHED do
      local keys = {}
      for i = first, math.min(first + MAX_FETCHED - 1, #sessids) do keys[#keys + 1] = 's:' .. sessids[i] end
      for _, record in ipairs(redis.call('MGET', unpack(keys))) do
        sessions[#sessions + 1] = { sessid = sessids[#sessions + 1], created = record and createdOf(record) or 0 }
      end
    end
    table.sort(sessions, function(a, b)
      if a.created ~= b.created then return a.created < b.created end
      return tonumber(a.sessid) < tonumber(b.sessid)
    end)
    return sessions
  end

  -- Whether the user may have one more session, after making room for it if that is the policy.
  local function admits(userKey)
    redis.call('ZREMRANGEBYSCORE', userKey, '-inf', now)
    if cap == 0 then return true end
    local excess = redis.call('ZCARD', userKey) - cap + 1
    if excess <= 0 then return true end
    if not evictOldest then return false end
    endSessions(userKey, byCreation(userKey), excess)
    return true
  end

  -- Writes a session that starts now; returns its expiry. userKey: 'u:' for nobody. The texts are JSON, '' is absent.
  local function create(sessionKey, userKey, userJson, ipJson, idle, secretHash, grantsJson)
    local expires = now + math.min(idle, max)
    local parts = { headOf(expires, now, now, idle) }
    if userJson ~= '' then parts[#parts + 1] = ',"u":' .. userJson end
    if ipJson ~= '' then parts[#parts + 1] = ',"p":' .. ipJson end
    if secretHash ~= '' then parts[#parts + 1] = ',"h":"' .. secretHash .. '"' end
    if grantsJson ~= '' then parts[#parts + 1] = ',"g":' .. grantsJson end
    parts[#parts + 1] = '}'
    redis.call('SET', sessionKey, table.concat(parts), 'PXAT', expires)
    addToIndices(string.sub(sessionKey, 3), userJson ~= '' and string.sub(userKey, 3), expires)
    return expires
  end
`;
