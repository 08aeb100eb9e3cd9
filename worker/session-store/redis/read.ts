import type { SessionResponse } from "../../../protocol/session-request.ts";
import { keepMsOf, type SessionPolicy, type SessionTimes } from "../session-lifetime.ts";
import type { PreparedRequest } from "../session-store.ts";
import { keepable, type ReadRequest, readVerdict, touchIsDue } from "../stored-session.ts";
import {
  asList,
  asText,
  type BatchCall,
  type CallResult,
  MAX_READS_PER_CALL,
  type PlainRead,
  parseLiveness,
  type RedisScript,
  type ScriptCall,
  type Touch,
  UnexpectedReply,
} from "./scripts.ts";
import {
  LUA_CLOCK,
  LUA_RECORD,
  LUA_RENEWAL,
  parseRecord,
  type RecordedSession,
  type RedisKeys,
} from "./session-record.ts";

/**
 * So many reads take one MGET, which is one command on Upstash's bill where the script is three. It returns the whole records, and
 * touches follow this worker's clock: more reads than HTTP brings at once are left to the script.
 */
const MAX_PLAIN_READS = 100;

/**
 * The records of many sessions.
 *
 * Returns a list: a text as of the check script ({@link Liveness}), then per key the record, nil if the session does not live.
 */
export const READ: RedisScript = {
  readOnly: true,
  locksOnlyKeys: true,
  source: `
  -- KEYS[1..n]: s:<sessid>, at most 1000
  local touchInterval = tonumber(ARGV[1]) -- ms
  local max           = tonumber(ARGV[2]) -- ms, absolute lifetime
${LUA_CLOCK}${LUA_RECORD}${LUA_RENEWAL}
  local characters = { nowText }
  local reply = {}
  for i, record in ipairs(call('MGET', unpack(KEYS))) do
    local live = isLive(record)
    characters[i + 1] = not live and '0' or renewedExpiry(record, now) and '2' or '1'
    reply[i + 1] = live and record
  end
  reply[1] = table.concat(characters)
  return reply
`,
};

/** Neighbouring identifies, access checks and gets: an MGET, or the script. */
export class ReadCall implements BatchCall {
  readonly requests: ReadRequest[] = [];

  constructor(first: ReadRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (this.requests.length === MAX_READS_PER_CALL) return false;
    if (request.kind !== "identify" && request.kind !== "checkAccess" && request.kind !== "get") return false;
    this.requests.push(request);
    return true;
  }

  toScript(keys: RedisKeys, policy: SessionPolicy, forBridge: boolean): ScriptCall | PlainRead {
    const sessions = this.requests.map(({ sessid }) => keys.session(sessid));
    if (this.#isPlain(forBridge)) return { command: ["MGET", ...sessions] };
    return {
      script: READ,
      keys: sessions,
      args: [String(policy.touchIntervalMs), String(policy.maxMs)],
    };
  }

  read(reply: unknown, policy: SessionPolicy, forBridge: boolean): CallResult {
    if (this.#isPlain(forBridge)) return this.#readPlain(asList(reply), policy);
    const [text, ...records] = asList(reply);
    const liveness = parseLiveness(text, this.requests.length);
    const touches: Touch[] = [];
    const responses = this.requests.map((request, index): SessionResponse => {
      const stored = liveness.isLive(index) ? parseRecord(request.sessid, asText(records[index])) : null;
      const { response, used } = readVerdict(request, stored);
      if (used && liveness.touchIsDue(index)) touches.push({ sessid: request.sessid, at: liveness.now });
      if (stored === null || !forBridge) return response;
      const times = { idleMs: stored.idleMs, expiresAt: stored.session.expiresAt };
      return keepable(response, stored.session, keepMsOf(times, liveness.now, policy));
    });
    return { responses, touches };
  }

  /** A bridge is told for how long it may keep a session by Redis's clock, so its reads need the script. */
  #isPlain(forBridge: boolean): boolean {
    return !forBridge && this.requests.length <= MAX_PLAIN_READS;
  }

  /** A key is there as long as its session lives (session-record.ts), so MGET is a verdict. */
  #readPlain(records: readonly unknown[], policy: SessionPolicy): CallResult {
    if (records.length !== this.requests.length) throw new UnexpectedReply();
    const now = Date.now();
    const touches: Touch[] = [];
    const responses = this.requests.map((request, index): SessionResponse => {
      const text = records[index];
      const stored = text === null ? null : parseRecord(request.sessid, asText(text));
      const { response, used } = readVerdict(request, stored);
      if (stored !== null && used && touchIsDue(timesOf(stored), now, policy)) {
        touches.push({ sessid: request.sessid, at: now });
      }
      return response;
    });
    return { responses, touches };
  }
}

function timesOf({ session: { createdAt, expiresAt }, touchedAt, idleMs }: RecordedSession): SessionTimes {
  return { createdAt, expiresAt, touchedAt, idleMs };
}
