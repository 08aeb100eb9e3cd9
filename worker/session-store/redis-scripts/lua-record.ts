/**
 * Lua: the record of a session, compact JSON.
 *
 * ```
 * {"e":1763701800000,"t":1763700000000,"c":1763700000000,"i":1800000,"u":"kim","p":"10.0.0.1","h":"3q2-7w...","g":["*"]}
 *       expires           touched           created           idle      user       ip            secret hash  grants
 * ```
 *
 * The four numbers come first and have 13, 13, 13 and any digits (epoch ms has 13 until the year 2286), so that a check
 * slices them out, and a touch replaces them, without parsing. What follows them comes from the worker as it is
 * (redis-calls/record-text.ts), in two parts: the owner, `,"u":"kim"`, and the rest, with the closing brace. Absent are: a
 * user who is nobody (the owner is ''), an unknown ip, a token that was never given out, and grants that are the default.
 * Values come from JSON.stringify, where a quote inside a string is always escaped, so `,"h":` and `,"g":` are found as
 * plain text. cjson only ever reads: written back by it, [] would become {}.
 */
export const LUA_RECORD = `
  local TOUCHED_ENDS = 36
  local BODY_FOLLOWS = 60
  -- A global costs two look-ups in Redis's sandbox.
  local sub, find, match, tonumber = string.sub, string.find, string.match, tonumber

  local function expiresOf(record) return tonumber(sub(record, 6, 18)) end
  local function touchedOf(record) return tonumber(sub(record, 24, TOUCHED_ENDS)) end
  local function createdOf(record) return tonumber(sub(record, 42, 54)) end
  local function idleTextOf(record) return match(record, '^%d+', BODY_FOLLOWS) end
  local function idleOf(record) return tonumber(idleTextOf(record)) end

  local function isLive(record) return record and sub(record, 6, 18) > nowText end

  local function belongsTo(record, owner)
    local _, idleEnds = find(record, '^%d+', BODY_FOLLOWS)
    if owner == '' then return sub(record, idleEnds + 1, idleEnds + 5) ~= ',"u":' end
    return sub(record, idleEnds + 1, idleEnds + #owner) == owner
  end

  -- nil for nobody; only a name with an escape in it needs the parser
  local function userOf(record)
    local user = match(record, '^%d+,"u":"([^"\\\\]*)"', BODY_FOLLOWS)
    if user or belongsTo(record, '') then return user end
    return cjson.decode(record).u
  end

  -- These take a record or its rest; '' for what is absent.
  local function hashFieldOf(text)
    local first = find(text, ',"h":"', 1, true)
    return first and sub(text, first, first + 49) or ''
  end
  local function grantsFieldOf(text)
    local first = find(text, ',"g":', 1, true)
    return first and sub(text, first, -2) or ''
  end

  local function secretHashOf(record) return sub(hashFieldOf(record), 7, -2) end

  -- The rest of a session that is refreshed: it keeps its secret and its grants where the refresh says nothing of them.
  local function inherit(rest, record)
    local oldHash, oldGrants = hashFieldOf(record), grantsFieldOf(record)
    if oldHash == '' and oldGrants == '' then return rest end
    local hash, grants = hashFieldOf(rest), grantsFieldOf(rest)
    local ip = sub(rest, 1, -2 - #hash - #grants)
    return ip .. (hash ~= '' and hash or oldHash) .. (grants ~= '' and grants or oldGrants) .. '}'
  end

  local function headOf(expires, touched, created, idle)
    return '{"e":' .. expires .. ',"t":' .. touched .. ',"c":' .. created .. ',"i":' .. idle
  end

  local function withTimes(record, expires, touched)
    return '{"e":' .. expires .. ',"t":' .. touched .. sub(record, TOUCHED_ENDS + 1)
  end
`;
