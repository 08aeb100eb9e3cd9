import type { SessionPolicy } from "../session-store.ts";

/**
 * Lua: creates sessions within the cap per user. Uses `cap` (live sessions a user may have, 0 is no limit), `evictOldest` and
 * `max` (ms), which the script takes from its ARGV ({@link creationArgs}).
 */
export const LUA_CREATE = `
  local liveCounts = {} -- by the key of the user's set, of users that this script has counted

  -- The sessids of a user, the oldest session first.
  local function byCreation(userKey)
    local sessids = redis.call('ZRANGE', userKey, 0, -1)
    local created = {}
    for first = 1, #sessids, MAX_LISTED do
      local keys = {}
      for i = first, math.min(first + MAX_LISTED - 1, #sessids) do keys[#keys + 1] = sessionKeyOf(sessids[i]) end
      for i, record in ipairs(redis.call('MGET', unpack(keys))) do
        created[sessids[first + i - 1]] = record and createdOf(record) or 0
      end
    end
    table.sort(sessids, function(a, b)
      if created[a] ~= created[b] then return created[a] < created[b] end
      return tonumber(a) < tonumber(b)
    end)
    return sessids
  end

  local function evict(userKey, count)
    local oldest = byCreation(userKey)
    for i = 1, count do
      redis.call('DEL', sessionKeyOf(oldest[i]))
      removeFromIndices(oldest[i], userKey)
    end
  end

  -- Whether the user may have one more session, which the script must create then. Makes room for it if that is the policy.
  local function admits(userKey)
    local count = liveCounts[userKey]
    if not count then
      count = redis.call('ZCARD', userKey)
      if count > 0 then count = count - redis.call('ZREMRANGEBYSCORE', userKey, '-inf', nowText) end
      liveCounts[userKey] = count
    end
    if cap > 0 and count >= cap then
      if not evictOldest then return false end
      evict(userKey, count - cap + 1)
      count = cap - 1
    end
    liveCounts[userKey] = count + 1
    return true
  end

  local starts = {} -- by idle: what all sessions have in common that start now with this idle time

  local function startOf(idle)
    local start = starts[idle]
    if not start then
      local expires = now + math.min(tonumber(idle), max)
      local text = string.format('%.0f', expires)
      start = { expires = expires, expiresText = text, head = headOf(text, nowText, nowText, idle) }
      starts[idle] = start
    end
    return start
  end

  -- Writes a session that starts now; returns its expiry. idle: ms as text
  local function create(sessionKey, userKey, idle, owner, rest)
    local start = startOf(idle)
    redis.call('SET', sessionKey, start.head .. owner .. rest, 'PXAT', start.expiresText)
    addToIndices(idOf(sessionKey), owner ~= '' and userKey, start.expiresText)
    return start.expires
  end
`;

/** ARGV[2..5] of the scripts that create sessions. */
export function creationArgs(policy: SessionPolicy): string[] {
  return [
    String(policy.idleMs),
    String(policy.maxMs),
    String(policy.maxSessionsPerUser),
    policy.limitPolicy === "evict-oldest" ? "1" : "0",
  ];
}

/** An idle time as the scripts take it, "" for the default. */
export function idleText(idleMs: number | undefined): string {
  return idleMs === undefined ? "" : String(idleMs);
}
