import { inject } from "vitest";
import type { Session, SessionResponse } from "../../../../protocol/session-request.ts";
import { RedisStore } from "../../../../worker/session-store/redis/redis-store.ts";
import { RedisKeys } from "../../../../worker/session-store/redis/session-record.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import type { ProvidedKey } from "../../../support/workerd/provided-context.ts";
import { PATIENT_DEADLINE_MS, type StoreHarness, testPolicy } from "../store-harness.ts";

const IDLE_MS = 1_800_000;
const KEY_PREFIX = "artoria:";
const REDIS_CONTROL_URL: ProvidedKey = "redisControlUrl";

export interface RedisHarness extends StoreHarness {
  readonly url: string;
  /** `<faultyUrl>/<fault>` is a REST API with that fault (test/support/redis/faulty-rest.ts). */
  readonly faultyUrl: string;
  readonly token: string;
  /** The keys of its stores. */
  readonly keys: RedisKeys;
  /** A time that a store of the harness has returned, as Redis keeps it: `advance` moves what is stored. */
  storedTime(time: number): number;
  /** Runs a command past redis-rest, as an administrator would. */
  command<Reply>(...command: string[]): Promise<Reply>;
  signal(name: "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Takes the work that a response does not wait for; `settle` waits for it. */
  readonly background: (work: Promise<void>) => void;
  close(): Promise<void>;
}

/** Moves every time in Redis `ARGV[1]` ms into the past: of records, of index members, and of the keys' own expiry. */
const AGE_EVERYTHING = `
  local ms = tonumber(ARGV[1])
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local expires = redis.call('PEXPIRETIME', key)
    if redis.call('TYPE', key).ok == 'string' then
      local record = redis.call('GET', key)
      for _, field in ipairs({ '"e":', '"t":', '"c":' }) do
        record = string.gsub(record, field .. '(%d+)', function(time)
          return field .. string.format('%.0f', tonumber(time) - ms)
        end, 1)
      end
      redis.call('SET', key, record, 'KEEPTTL')
    else
      local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
      for i = 1, #members, 2 do redis.call('ZINCRBY', key, -ms, members[i]) end
    end
    if expires > 0 then redis.call('PEXPIREAT', key, string.format('%.0f', expires - ms)) end
  end
`;

/**
 * Starts a real Redis with redis-rest in front. Its clock is the machine's and cannot be set, so `advance` ages what is
 * stored instead, and the stores of the harness return times on a clock that has advanced by as much.
 */
export async function startRedisHarness(): Promise<RedisHarness> {
  const controlUrl = inject(REDIS_CONTROL_URL);
  const started = await call<{ id: string; url: string; faultyUrl: string; token: string }>(controlUrl, "POST");
  const { id, url, token } = started;
  const works: Promise<void>[] = [];
  let advancedMs = 0;

  const harness: RedisHarness = {
    ...started,
    idleMs: IDLE_MS,
    isClockStill: false,
    keys: new RedisKeys(KEY_PREFIX),
    open(policy, options) {
      const store = new RedisStore({
        url,
        token,
        policy: testPolicy(IDLE_MS, policy),
        keyPrefix: KEY_PREFIX,
        background: harness.background,
        deadlineMs: PATIENT_DEADLINE_MS,
        ...options,
      });
      return withLaterTimes(store, () => advancedMs);
    },
    async now() {
      const [seconds, microseconds] = await harness.command<[string, string]>("TIME");
      return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) + advancedMs;
    },
    async advance(ms) {
      await harness.settle();
      // The clock runs: a moment that a test computes may have passed already.
      const aheadMs = Math.max(0, ms);
      await harness.command("EVAL", AGE_EVERYTHING, "0", String(aheadMs));
      advancedMs += aheadMs;
    },
    storedTime: (time) => time - advancedMs,
    async settle() {
      await Promise.all(works.splice(0));
    },
    faults: () => indexFaults(harness),
    async clear() {
      await harness.settle();
      await harness.command("FLUSHALL");
      advancedMs = 0;
    },
    command: (...command) => call(`${controlUrl}/${id}/command`, "POST", command),
    signal: (name) => call(`${controlUrl}/${id}/signal`, "POST", name),
    background: (work) => void works.push(work),
    close: () => call(`${controlUrl}/${id}`, "DELETE"),
  };
  return harness;
}

/** A store whose responses have their times moved by `offsetMs()`. */
function withLaterTimes(store: SessionStore, offsetMs: () => number): SessionStore {
  const later = (time: number) => time + offsetMs();
  const laterSession = (session: Session): Session => ({
    ...session,
    createdAt: later(session.createdAt),
    expiresAt: later(session.expiresAt),
  });
  const laterResponse = (response: SessionResponse): SessionResponse => {
    switch (response.kind) {
      case "register":
      case "issue":
        return { ...response, expiresAt: response.expiresAt === 0 ? 0 : later(response.expiresAt) };
      case "identify":
      case "get":
        return { ...response, session: response.session && laterSession(response.session) };
      case "listUser":
        return { ...response, sessions: response.sessions.map(laterSession) };
      default:
        return response;
    }
  };
  return {
    run: async (requests, options) => (await store.run(requests, options)).map(laterResponse),
    async readLog(read) {
      const page = await store.readLog(read);
      if (page.kind !== "events") return page;
      return { ...page, events: page.events.map((event) => ({ ...event, at: later(event.at) })) };
    },
    endAll: () => store.endAll(),
    ping: () => store.ping(),
    sweep: () => store.sweep(),
  };
}

/** Everything in Redis as JSON: by key its expiry, and its record or its members with their scores. */
const DUMP = `
  local dump = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local entry = { expires = redis.call('PEXPIRETIME', key) }
    if redis.call('TYPE', key).ok == 'string' then
      entry.record = redis.call('GET', key)
    else
      entry.members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    end
    dump[key] = entry
  end
  return cjson.encode(dump)
`;

type Dump = Readonly<
  Record<string, { readonly expires: number; readonly record?: string; readonly members?: string[] }>
>;

/** Where the indices of a Redis without expired sessions differ from what its records say. */
async function indexFaults({ command, keys }: Pick<RedisHarness, "command" | "keys">): Promise<string[]> {
  const dump = JSON.parse(await command<string>("EVAL", DUMP, "0")) as Dump;
  const sessions = new Map<string, string>();
  const users = new Map<string, Map<string, string>>();
  for (const [key, { record }] of Object.entries(dump)) {
    if (record === undefined) continue;
    const { e, u } = JSON.parse(record) as { e: number; u?: string };
    const sessid = key.slice(`${keys.prefix}s:`.length);
    sessions.set(sessid, String(e));
    if (u !== undefined) users.set(u, (users.get(u) ?? new Map<string, string>()).set(sessid, String(e)));
  }
  const last = (own: ReadonlyMap<string, string>) => String(Math.max(...[...own.values()].map(Number)));
  const expected = new Map<string, ReadonlyMap<string, string>>([
    ...[...users].map(([user, own]) => [keys.user(user), own] as const),
    [keys.sessions, sessions],
    [keys.users, new Map([...users].map(([user, own]) => [user, last(own)]))],
  ]);

  const faults: string[] = [];
  for (const [index, members] of expected) {
    const { members: found = [], expires = 0 } = dump[index] ?? {};
    const pairs = found.flatMap((member, at) => (at % 2 === 0 ? [[member, found[at + 1] ?? ""] as const] : []));
    const [actual, wanted] = [asText(new Map(pairs)), asText(members)];
    if (actual !== wanted) faults.push(`${index}: ${actual}, expected ${wanted}`);
    if (members.size > 0 && expires < Number(last(members))) faults.push(`${index} expires before its last member`);
  }
  const unexpected = Object.entries(dump).filter(([key, { members }]) => members !== undefined && !expected.has(key));
  return [...faults, ...unexpected.map(([key]) => `${key}: not expected`)];
}

function asText(members: ReadonlyMap<string, string>): string {
  return JSON.stringify([...members].sort());
}

async function call<Reply>(url: string, method: string, body: unknown = null): Promise<Reply> {
  const response = await fetch(url, { method, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}
