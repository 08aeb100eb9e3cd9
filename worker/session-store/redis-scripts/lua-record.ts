/**
 * Lua: the record of a session, compact JSON.
 *
 * ```
 * {"e":1763701800000,"t":1763700000000,"c":1763700000000,"i":1800000,"u":"kim","p":"10.0.0.1","h":"3q2-7w...","g":["*"]}
 *       expires           touched           created           idle      user       ip            secret hash  grants
 * ```
 *
 * The four numbers come first and have 13, 13, 13 and any digits (epoch ms has 13 until the year 2286), so that a check
 * slices them out, and a touch replaces them, without parsing; what follows them is the body. Absent are: a user who is
 * nobody, an unknown ip, a token that was never given out, and grants that are the default. Values come from
 * JSON.stringify, where a quote inside a string is always escaped, so `,"h":` and `,"g":` are found as plain text.
 * cjson only ever reads: written back by it, [] would become {}.
 */
export const LUA_RECORD = `
  local BODY_FOLLOWS = 60
  local sub, match, tonumber = string.sub, string.match, tonumber -- a global costs two look-ups in Redis's sandbox

  local function expiresOf(record) return tonumber(sub(record, 6, 18)) end
  local function touchedOf(record) return tonumber(sub(record, 24, 36)) end
  local function createdOf(record) return tonumber(sub(record, 42, 54)) end
  local function idleOf(record) return tonumber(match(record, '^%d+', BODY_FOLLOWS)) end

  local function bodyOf(record) return match(record, '^%d+(.*)$', BODY_FOLLOWS) end

  local function isLive(record) return record and expiresOf(record) > now end

  -- userJson: '"kim"', or '' for nobody
  local function belongsTo(record, userJson)
    local body = bodyOf(record)
    if userJson == '' then return sub(body, 1, 5) ~= ',"u":' end
    local field = ',"u":' .. userJson
    return sub(body, 1, #field) == field
  end

  -- nil for nobody; only a name with an escape in it needs the parser
  local function userOf(record)
    return match(bodyOf(record), '^,"u":"([^"\\\\]*)"') or cjson.decode(record).u
  end

  local function secretHashOf(record)
    local _, last = string.find(record, ',"h":"', 1, true)
    return last and sub(record, last + 1, last + 43) or ''
  end

  local function grantsJsonOf(record)
    local _, last = string.find(record, ',"g":', 1, true)
    return last and sub(record, last + 1, -2) or ''
  end

  local function headOf(expires, touched, created, idle)
    return string.format('{"e":%.0f,"t":%.0f,"c":%.0f,"i":%.0f', expires, touched, created, idle)
  end
`;
