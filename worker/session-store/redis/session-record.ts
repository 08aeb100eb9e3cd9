import { DEFAULT_GRANTS } from "../../../protocol/session-request.ts";
import { DEFAULT_LOG_ENTRIES } from "../session-log.ts";
import type { StoredSession } from "../stored-session.ts";

/**
 * The keys of one deployment, all behind its prefix (REDIS_KEY_PREFIX):
 *
 * ```
 * s:<sessid>   string, the session's record                       there while the session lives, to the millisecond
 * u:<user>     ZSET sessid -> expiry, the user's sessions         expires with its last member
 * users        ZSET user -> expiry of the user's last session     expires with its last member
 * sessions     ZSET sessid -> expiry, all sessions                until the log has their ends
 * owners       hash sessid -> user, JSON                          until the log has their ends
 * log          stream, what became of sessions (log.ts)           stays
 * leases       ZSET hub -> until when its leases may run;         stays
 *              "watchers" -> until when somebody watches, with a minus sign
 * ```
 *
 * All times are epoch ms by Redis's own clock, so that a check and a count always agree. Redis keeps a key through the millisecond
 * of its expiry, so a record's is the millisecond before its session's.
 */
export class RedisKeys {
  readonly prefix: string;
  readonly sessions: string;
  readonly users: string;
  readonly owners: string;
  readonly log: string;
  readonly leases: string;
  /** What every script that writes to the log takes first: the prefix, and how many entries the log keeps. */
  readonly writeArgs: readonly string[];

  constructor(prefix: string, logEntries = DEFAULT_LOG_ENTRIES) {
    this.prefix = prefix;
    this.writeArgs = [prefix, String(logEntries)];
    this.sessions = `${prefix}sessions`;
    this.users = `${prefix}users`;
    this.owners = `${prefix}owners`;
    this.log = `${prefix}log`;
    this.leases = `${prefix}leases`;
  }

  session(sessid: number): string {
    return `${this.prefix}s:${sessid}`;
  }

  /** An anonymous session has no user's set: its scripts get the prefix of such keys instead, and leave it alone. */
  user(user: string | null): string {
    return `${this.prefix}u:${user ?? ""}`;
  }
}

/**
 * Lua: `now`, epoch ms by Redis's clock, read once per script, and `nowText`, the same as text: of 13 digits until the year
 * 2286, so that times compare as texts. A session lives while its expiry is above `now`. Redis itself keeps a key through
 * the millisecond of its expiry, so scripts compare.
 */
export const LUA_CLOCK = `
  local call = redis.call -- a global costs two look-ups in Redis's sandbox
  local time = call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local nowText = string.format('%.0f', now)
`;

/**
 * Lua: reads and writes the record of a session, compact JSON. Uses `nowText`.
 *
 * ```
 * {"e":1763701800000,"t":1763700000000,"c":1763700000000,"i":1800000,"u":"kim","p":"10.0.0.1","h":"3q2-7w...","g":["*"]}
 *       expires           touched           created           idle      user       ip            secret hash  grants
 * ```
 *
 * The four numbers come first and have 13, 13, 13 and any digits, so that a check slices them out, and a touch replaces them,
 * without parsing. The rest comes from the worker as it is, in two parts: the owner, `"kim"` ({@link ownerText}), and what
 * follows it, with the closing brace ({@link restText}). Absent are: the owner of an anonymous session, an unknown ip,
 * the secret hash of a session without a token, and default grants. Values come from JSON.stringify, which escapes every
 * quote inside a string, so `,"h":` and `,"g":` are found as plain text. cjson only reads: it would write [] as {}.
 */
export const LUA_RECORD = `
  local TOUCHED_ENDS = 36
  local BODY_FOLLOWS = 60
  local DEFAULT_GRANTS = ',"g":["*"]' -- what a record without grants has
  local sub, find, match, tonumber = string.sub, string.find, string.match, tonumber

  local function expiresOf(record) return tonumber(sub(record, 6, 18)) end
  local function touchedOf(record) return tonumber(sub(record, 24, TOUCHED_ENDS)) end
  local function createdOf(record) return tonumber(sub(record, 42, 54)) end
  local function idleTextOf(record) return match(record, '^%d+', BODY_FOLLOWS) end
  local function idleOf(record) return tonumber(idleTextOf(record)) end

  -- The last millisecond of a session, through which Redis keeps its key.
  local function lastOf(expires) return string.format('%.0f', expires - 1) end

  local function isLive(record) return record and sub(record, 6, 18) > nowText end

  -- owner: the user as JSON, '' for an anonymous session
  local function belongsTo(record, owner)
    local _, idleEnds = find(record, '^%d+', BODY_FOLLOWS)
    if owner == '' then return sub(record, idleEnds + 1, idleEnds + 5) ~= ',"u":' end
    return sub(record, idleEnds + 1, idleEnds + 5 + #owner) == ',"u":' .. owner
  end

  -- The user, and the same as JSON; nil and '' for an anonymous session. Only a name with an escape in it needs the parser.
  local function userOf(record)
    local user = match(record, '^%d+,"u":"([^"\\\\]*)"', BODY_FOLLOWS)
    if user then return user, '"' .. user .. '"' end
    if belongsTo(record, '') then return nil, '' end
    user = cjson.decode(record).u
    return user, cjson.encode(user)
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

  -- The rest of a session that is refreshed: it keeps its secret and its grants where the refresh does not give new ones.
  -- Also whether the refresh gives some, and whether these are others than the session had.
  local function inherit(rest, record)
    local oldHash, oldGrants = hashFieldOf(record), grantsFieldOf(record)
    local hash, grants = hashFieldOf(rest), grantsFieldOf(rest)
    local gives = hash ~= '' or grants ~= ''
    if oldHash == '' and oldGrants == '' and not gives then return rest, false, false end
    local ip = sub(rest, 1, -2 - #hash - #grants)
    local newHash, newGrants = hash ~= '' and hash or oldHash, grants ~= '' and grants or oldGrants
    local changes = newHash ~= oldHash or (newGrants ~= oldGrants and (oldGrants ~= '' or newGrants ~= DEFAULT_GRANTS))
    return ip .. newHash .. newGrants .. '}', gives, changes
  end

  local function headOf(expires, touched, created, idle)
    return '{"e":' .. expires .. ',"t":' .. touched .. ',"c":' .. created .. ',"i":' .. idle
  end

  local function withTimes(record, expires, touched)
    return '{"e":' .. expires .. ',"t":' .. touched .. sub(record, TOUCHED_ENDS + 1)
  end
`;

/**
 * Lua: whether a check at `at` makes a touch due. Uses `touchInterval` and `max` (ms), which the script takes from its ARGV. A
 * touch is due at most once per min(touchInterval, idle / 10). It moves the expiry never beyond created + max, and never
 * backwards.
 */
export const LUA_RENEWAL = `
  -- The new expiry; nil if no touch is due.
  local function renewedExpiry(record, at)
    local elapsed = at - touchedOf(record)
    local idle = idleOf(record)
    if elapsed < touchInterval and elapsed < idle / 10 then return nil end
    local expires = math.min(at + idle, createdOf(record) + max)
    return expires > expiresOf(record) and expires or nil
  end
`;

/** A session as its record has it, with the fields that its lifetime depends on. */
export interface RecordedSession extends StoredSession {
  readonly touchedAt: number;
  readonly idleMs: number;
}

/** The session of a record. Throws if the text is not one: then it was not written by this store. */
export function parseRecord(sessid: number, text: string): RecordedSession {
  const record = JSON.parse(text) as RedisRecord;
  return {
    touchedAt: record.t,
    idleMs: record.i,
    session: {
      sessid,
      user: record.u ?? null,
      ip: record.p ?? null,
      createdAt: record.c,
      expiresAt: record.e,
      grants: record.g ?? DEFAULT_GRANTS,
    },
    secretHash: record.h ?? null,
  };
}

interface RedisRecord {
  readonly e: number;
  readonly t: number;
  readonly c: number;
  readonly i: number;
  readonly u?: string;
  readonly p?: string;
  readonly h?: string;
  readonly g?: readonly string[];
}

/** The owner in a record, in the log and in `owners`; "" for an anonymous session, or where a request leaves it open. */
export function ownerText(user: string | null | undefined): string {
  return user === null || user === undefined ? "" : JSON.stringify(user);
}

/** The part of a record that follows its owner. */
export function restText({ ip, secretHash, grants }: RecordRest): string {
  const ipField = ip === null ? "" : `,"p":${JSON.stringify(ip)}`;
  const hashField = secretHash === undefined ? "" : `,"h":"${secretHash}"`;
  const grantsField = grants === undefined ? "" : `,"g":${JSON.stringify(grants)}`;
  return `${ipField}${hashField}${grantsField}}`;
}

interface RecordRest {
  readonly ip: string | null;
  readonly secretHash?: string;
  readonly grants?: readonly string[];
}
