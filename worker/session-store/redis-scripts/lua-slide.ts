/**
 * Lua: when a check at `at` moves a session's expiry. Uses `touchInterval` and `max` (ms), which the script takes from
 * its ARGV. At most one touch per min(touchInterval, idle / 10), never beyond created + max, never backwards.
 */
export const LUA_SLIDE = `
  -- The new expiry; nil if no touch is due.
  local function slidTo(record, at)
    local elapsed = at - touchedOf(record)
    local idle = idleOf(record)
    if elapsed < touchInterval and elapsed < idle / 10 then return nil end
    local expires = math.min(at + idle, createdOf(record) + max)
    return expires > expiresOf(record) and expires or nil
  end
`;
