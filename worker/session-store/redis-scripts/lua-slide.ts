/**
 * Lua: when a check at `at` moves a session's expiry. Uses `touchInterval` and `max` (ms), which the script takes from
 * its ARGV. At most one touch per min(touchInterval, idle / 10), never beyond created + max, never backwards.
 */
export const LUA_SLIDE = `
  local function slidTo(record, at)
    return math.min(at + idleOf(record), createdOf(record) + max)
  end

  local function touchIsDue(record, at)
    local elapsed = at - touchedOf(record)
    if elapsed < touchInterval and elapsed < idleOf(record) / 10 then return false end
    return slidTo(record, at) > expiresOf(record)
  end
`;
