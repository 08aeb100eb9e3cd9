import {
  type EndReason,
  endOf,
  entryIdOf,
  type LogEntry,
  type LoggedChange,
  type LogPage,
  type LogRead,
  pageOf,
  WATCHERS,
} from "../session-log.ts";
import { asInteger, asList, asText, type RedisScript, type ScriptCall, UnexpectedReply } from "./scripts.ts";
import { LUA_INDEX, LUA_LEASES } from "./session-index.ts";
import { LUA_CLOCK, type RedisKeys } from "./session-record.ts";

/*
 * The log is a stream. A script that changes sessions adds one entry for all of them, in the same atomic step. An entry has one
 * field, "b" if all its sessions began, else "e". Its value is a text: the moment of the script, epoch ms, then a line per change. A
 * line is a letter of CHANGES; for an expiry the 13 digits of when it expired; the sessid; and the user as JSON, nothing for an
 * anonymous session:
 *
 *     1763700000000
 *     x1763699999000-7"lee"
 *     b5"kim"
 */

const CHANGES: Readonly<Record<string, "began" | "changed" | EndReason>> = {
  b: "began",
  c: "changed",
  d: "deleted",
  e: "evicted",
  x: "expired",
};

/** A name may hold what JavaScript takes for the end of a line (U+2028), so the dot matches that too. */
const LINE = /^(?:[bcde]|x(\d{13}))(-?\d+)(".*")?$/s;

const STREAM_ID = /^\d{1,15}-\d{1,15}$/;

/** Where no entry is: Redis does not take this id. */
const NOWHERE = "0-0";

/**
 * Reads the log from an entry on. First it writes the ends of sessions that have expired, so that they are read too. It is not
 * read-only, so it runs on the primary: "everything up to now" is true there alone.
 *
 * Returns 1 if there may be more expired sessions, else 0; then id and text of the last entry, of the one asked for, and of those
 * that follow.
 */
export const LOG_READ: RedisScript = {
  readOnly: false,
  source: `
  local SESSIONS = KEYS[1]           -- sessions
  local USERS    = KEYS[2]           -- users
  local prefix   = ARGV[1]           -- of keys
  local logSize  = ARGV[2]           -- entries that the log keeps at least
  local limit    = tonumber(ARGV[3]) -- changes to return; the first and the last entry may have more
  local from     = ARGV[4]           -- id of the first entry to return, '' for none
  local skips    = ARGV[5] == '1'    -- whether to leave out entries of beginnings
  local hub      = ARGV[6]           -- whose leases may run from now on, '' for none
  local leaseMs  = ARGV[7]           -- for so long
  local watchMs  = ARGV[8]           -- for so long the reader watches, '0' for not at all
${LUA_CLOCK}${LUA_INDEX}
  local MAX_TRIMS = 10
  local MAX_PARTS = 10
  local MAX_PART  = 100     -- entries
  local MAX_BYTES = 1048576 -- of a reply, and one entry more

  local function linesOf(text)
    local _, count = string.gsub(text, '\\n', '')
    return count
  end

  -- Appends the entries from 'from' on to the reply. Returns the last one of the log if it came so far.
  local function read(reply)
    local lines, bytes = 0, 0
    local skipped
    local function add(entry)
      reply[#reply + 1] = entry[1]
      reply[#reply + 1] = entry[2][2]
      bytes = bytes + #entry[2][2]
    end
    local part = call('XRANGE', LOG, from, '+', 'COUNT', MAX_PART)
    for parts = 1, MAX_PARTS do
      for i, entry in ipairs(part) do
        if lines >= limit or bytes >= MAX_BYTES then return nil end
        -- Of the first, on which the reader stands, it may have seen all.
        local isFirst = parts == 1 and i == 1
        skipped = not isFirst and skips and entry[2][1] == 'b' and entry
        if not skipped then add(entry) end
        if not skipped and not isFirst then lines = lines + linesOf(entry[2][2]) end
      end
      local last = part[#part]
      if #part < MAX_PART or parts == MAX_PARTS then
        -- The reader will stand on it.
        if skipped then add(skipped) end
        return #part < MAX_PART and last
      end
      part = call('XRANGE', LOG, '(' .. last[1], '+', 'COUNT', MAX_PART)
    end
  end

  local function lastEntry()
    return call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
  end

  local trims = 1
  while trimSessions() == MAX_TRIMMED and trims < MAX_TRIMS do trims = trims + 1 end
  writeLog()
  if hub ~= '' and call('ZADD', LEASES, 'GT', string.format('%.0f', now + leaseMs), hub) == 1 then
    call('ZREMRANGEBYSCORE', LEASES, 0, nowText)
  end
  if watchMs ~= '0' then call('ZADD', LEASES, 'LT', string.format('-%.0f', now + watchMs), '${WATCHERS}') end

  local reply = { trims == MAX_TRIMS and 1 or 0, '', '' }
  local last = from ~= '' and read(reply) or lastEntry()
  if not last then
    -- A reader stands on an entry, so that it notices if the log is lost: this one says nothing.
    call('XADD', LOG, '*', 'e', nowText)
    last = lastEntry()
  end
  reply[2], reply[3] = last[1], last[2][2]
  return reply
`,
};

export function logReadCall(keys: RedisKeys, { after, limit, kinds, lease, watchMs }: LogRead): ScriptCall {
  return {
    script: LOG_READ,
    keys: [keys.sessions, keys.users],
    args: [
      ...keys.writeArgs,
      String(limit),
      after === null ? "" : streamIdOf(after),
      kinds?.has("began") === false ? "1" : "0",
      lease?.hub ?? "",
      String(lease?.ms ?? 0),
      String(watchMs ?? 0),
    ],
  };
}

function streamIdOf(position: string): string {
  const id = entryIdOf(position) ?? "";
  return STREAM_ID.test(id) ? id : NOWHERE;
}

/** The page of a reply to {@link logReadCall}. Throws UnexpectedReply. */
export function parseLogPage(reply: unknown, read: LogRead): LogPage {
  const [mayHoldExpired, ...items] = asList(reply);
  const [last, ...entries] = entriesOf(items);
  if (last === undefined) throw new UnexpectedReply();
  if (read.after === null) return { kind: "events", events: [], position: endOf(last), more: false };
  const page = pageOf(read.after, read, entries, last);
  return page.kind === "events" ? { ...page, more: page.more || asInteger(mayHoldExpired) === 1 } : page;
}

function entriesOf(items: readonly unknown[]): LogEntry[] {
  return items.flatMap((id, index) => (index % 2 === 0 ? [parseEntry(asText(id), asText(items[index + 1]))] : []));
}

function parseEntry(id: string, text: string): LogEntry {
  const [at, ...lines] = text.split("\n");
  return { id, at: Number(at), text, changes: lines.flatMap(parseLine) };
}

/** None if what expired was no session of ours: somebody has written to the index by hand. */
function parseLine(line: string): LoggedChange[] {
  const change = CHANGES[line.charAt(0)];
  if (change === undefined) throw new UnexpectedReply();
  const [, expiredAt, sessid, user] = LINE.exec(line) ?? [];
  if (sessid === undefined) return [];
  const logged = [change, Number(sessid), user === undefined ? null : (JSON.parse(user) as string)] as const;
  return [expiredAt === undefined ? logged : [...logged, Number(expiredAt)]];
}

/** The leases that may still run. */
export const LEASES: RedisScript = {
  readOnly: true,
  source: `
  -- KEYS[1]: leases
  local prefix = ARGV[1] -- of keys
${LUA_CLOCK}${LUA_LEASES}
  return addLeases({})
`,
};

export function leasesCall(keys: RedisKeys): ScriptCall {
  return { script: LEASES, keys: [keys.leases], args: [keys.prefix] };
}
