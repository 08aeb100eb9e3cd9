import type { CheckRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import type { PreparedRequest } from "../session-store.ts";
import {
  asList,
  type BatchCall,
  type CallResult,
  MAX_READS_PER_CALL,
  parseLiveness,
  type RedisScript,
  type ScriptCall,
  type Touch,
} from "./scripts.ts";
import { LUA_CLOCK, LUA_RECORD, LUA_RENEWAL, type RedisKeys } from "./session-record.ts";

/**
 * Which of many sessions live, and for which of those a touch is due.
 *
 * Returns a list with one text ({@link Liveness}), and a nil after it if any session was not found: redis-rest asks a read
 * whose reply holds a nil again at the primary.
 */
export const CHECK: RedisScript = {
  readOnly: true,
  locksOnlyKeys: true,
  source: `
  -- KEYS[1..n]: s:<sessid>, at most 1000
  local touchInterval = tonumber(ARGV[1]) -- ms
  local max           = tonumber(ARGV[2]) -- ms, absolute lifetime
  local usualIdle     = ARGV[3]           -- ms, what most sessions have
${LUA_CLOCK}${LUA_RECORD}${LUA_RENEWAL}
  -- A session with the usual idle time and so much life left was touched lately: of most records only two slices are
  -- looked at, and times of 13 digits compare as texts.
  local untouched = math.min(touchInterval, tonumber(usualIdle) / 10)
  local freshText = string.format('%.0f', now + tonumber(usualIdle) - untouched)
  local usual = usualIdle .. ','
  local usualEnd = BODY_FOLLOWS - 1 + #usual

  -- The character of a live session. A bridge keeps it for as long as no touch is due, and not beyond its expiry.
  local function live(idle, remaining, touchIsDue)
    local keep = math.floor(math.min(30000, touchInterval, idle / 10, remaining) / 1000)
    return string.char(49 + 2 * keep + (touchIsDue and 1 or 0))
  end
  local untouchedChar = live(tonumber(usualIdle), tonumber(usualIdle), false)

  local characters = { nowText }
  local allFound = true
  for i, record in ipairs(call('MGET', unpack(KEYS))) do
    local expires = record and sub(record, 6, 18)
    if not record or expires <= nowText then
      allFound = false
      characters[i + 1] = '0'
    elseif expires > freshText and sub(record, BODY_FOLLOWS, usualEnd) == usual then
      characters[i + 1] = untouchedChar
    else
      characters[i + 1] = live(idleOf(record), expires - now, renewedExpiry(record, now))
    end
  end
  if allFound then return { table.concat(characters) } end
  return { table.concat(characters), false }
`,
};

/** Neighbouring checks. */
export class CheckCall implements BatchCall {
  readonly requests: CheckRequest[] = [];

  constructor(first: CheckRequest) {
    this.requests.push(first);
  }

  add(request: PreparedRequest): boolean {
    if (request.kind !== "check" || this.requests.length === MAX_READS_PER_CALL) return false;
    this.requests.push(request);
    return true;
  }

  toScript(keys: RedisKeys, policy: SessionPolicy): ScriptCall {
    return {
      script: CHECK,
      keys: this.requests.map(({ sessid }) => keys.session(sessid)),
      args: [String(policy.touchIntervalMs), String(policy.maxMs), String(policy.idleMs)],
    };
  }

  read(reply: unknown, _policy: SessionPolicy, forBridge: boolean): CallResult {
    const liveness = parseLiveness(asList(reply)[0], this.requests.length);
    const touches: Touch[] = [];
    const responses = this.requests.map(({ sessid }, index): SessionResponse => {
      if (!liveness.isLive(index)) return { kind: "check", status: Status.NotFound };
      if (liveness.touchIsDue(index)) touches.push({ sessid, at: liveness.now });
      if (!forBridge) return { kind: "check", status: Status.Ok };
      return { kind: "check", status: Status.Ok, keepMs: liveness.keepMs(index) };
    });
    return { responses, touches };
  }
}
