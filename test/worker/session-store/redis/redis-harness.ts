import { inject } from "vitest";
import type { Session, SessionResponse } from "../../../../protocol/session-request.ts";
import { RedisStore } from "../../../../worker/session-store/redis/redis-store.ts";
import { RedisKeys } from "../../../../worker/session-store/redis/session-record.ts";
import type { SessionEvent } from "../../../../worker/session-store/session-log.ts";
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

/**
 * Moves every time in Redis `ARGV[1]` ms into the past: of records, of index members, and of the keys' own expiry; not those in
 * the log. Returns the epoch ms after which nothing was written before it.
 */
const AGE_EVERYTHING = `
  local ms = tonumber(ARGV[1])
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local expires, kind = redis.call('PEXPIRETIME', key), redis.call('TYPE', key).ok
    if kind == 'string' then
      local record = redis.call('GET', key)
      for _, field in ipairs({ '"e":', '"t":', '"c":' }) do
        record = string.gsub(record, field .. '(%d+)', function(time)
          return field .. string.format('%.0f', tonumber(time) - ms)
        end, 1)
      end
      redis.call('SET', key, record, 'KEEPTTL')
    elseif kind == 'zset' then
      local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
      -- Until when somebody watches has a minus sign.
      for i = 1, #members, 2 do
        redis.call('ZINCRBY', key, tonumber(members[i + 1]) < 0 and ms or -ms, members[i])
      end
    end
    if expires > 0 then redis.call('PEXPIREAT', key, string.format('%.0f', expires - ms)) end
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
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
  let advances: Advance[] = [];
  const advancedMs = () => advancedAt(advances, Number.POSITIVE_INFINITY);

  async function serverTime(): Promise<number> {
    const [seconds, microseconds] = await harness.command<[string, string]>("TIME");
    return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
  }

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
      return withLaterTimes(store, (writtenAt) => advancedAt(advances, writtenAt));
    },
    now: async () => (await serverTime()) + advancedMs(),
    async advance(ms) {
      await harness.settle();
      // The clock runs: a moment that a test computes may have passed already.
      const aheadMs = Math.max(0, ms);
      const at = await harness.command<number>("EVAL", AGE_EVERYTHING, "0", String(aheadMs));
      advances.push({ at, ms: aheadMs });
      // So what is written from now on can be told from what was written before.
      while ((await serverTime()) <= at + 1);
    },
    storedTime: (time) => time - advancedMs(),
    async settle() {
      await Promise.all(works.splice(0));
    },
    faults: () => indexFaults(harness),
    async clear() {
      await harness.settle();
      await harness.command("FLUSHALL");
      advances = [];
    },
    command: (...command) => call(`${controlUrl}/${id}/command`, "POST", command),
    signal: (name) => call(`${controlUrl}/${id}/signal`, "POST", name),
    background: (work) => void works.push(work),
    close: () => call(`${controlUrl}/${id}`, "DELETE"),
  };
  return harness;
}

/** By how much the harness's clock was moved at `at`, epoch ms by Redis's own clock. */
interface Advance {
  readonly at: number;
  readonly ms: number;
}

function advancedAt(advances: readonly Advance[], time: number): number {
  return advances.filter(({ at }) => at < time).reduce((sum, { ms }) => sum + ms, 0);
}

/**
 * A store whose responses have their times moved by as much as the clock had been when they were written: what is stored ages,
 * except for the log.
 */
function withLaterTimes(store: SessionStore, advancedMs: (writtenAt: number) => number): SessionStore {
  const later = (time: number) => time + advancedMs(Number.POSITIVE_INFINITY);
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
      const laterEvent = (event: SessionEvent) => ({ ...event, at: event.at + advancedMs(idTimeOf(event.position)) });
      return { ...page, events: page.events.map(laterEvent) };
    },
    endAll: () => store.endAll(),
    ping: () => store.ping(),
    sweep: () => store.sweep(),
  };
}

/** When the entry of the log was written on which a position stands: a stream's ids begin with that. */
function idTimeOf(position: string): number {
  return Number.parseInt(position, 10);
}

/** Everything in Redis but the log as JSON: by key its expiry, and its record, or its members with their scores or values. */
const DUMP = `
  local dump = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local entry = { expires = redis.call('PEXPIRETIME', key) }
    local kind = redis.call('TYPE', key).ok
    if kind == 'string' then
      entry.record = redis.call('GET', key)
    elseif kind == 'zset' then
      entry.members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif kind == 'hash' then
      entry.members = redis.call('HGETALL', key)
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
  const owners = new Map<string, string>();
  for (const [key, { record }] of Object.entries(dump)) {
    if (record === undefined) continue;
    const { e, u } = JSON.parse(record) as { e: number; u?: string };
    const sessid = key.slice(`${keys.prefix}s:`.length);
    sessions.set(sessid, String(e));
    if (u !== undefined) owners.set(sessid, JSON.stringify(u));
    if (u !== undefined) users.set(u, (users.get(u) ?? new Map<string, string>()).set(sessid, String(e)));
  }
  const last = (own: ReadonlyMap<string, string>) => String(Math.max(...[...own.values()].map(Number)));
  const lasting = new Map<string, ReadonlyMap<string, string>>([
    [keys.sessions, sessions],
    [keys.owners, owners],
  ]);
  const expected = new Map<string, ReadonlyMap<string, string>>([
    ...lasting,
    ...[...users].map(([user, own]) => [keys.user(user), own] as const),
    [keys.users, new Map([...users].map(([user, own]) => [user, last(own)]))],
  ]);

  const faults: string[] = [];
  for (const [index, members] of expected) {
    const { members: found = [], expires = 0 } = dump[index] ?? {};
    // An owner may be "": of an anonymous session whose number another had.
    const pairs = found
      .flatMap((member, at) => (at % 2 === 0 ? [[member, found[at + 1] ?? ""] as const] : []))
      .filter(([, value]) => value !== "");
    const [actual, wanted] = [asText(new Map(pairs)), asText(members)];
    if (actual !== wanted) faults.push(`${index}: ${actual}, expected ${wanted}`);
    if (lasting.has(index) && expires > 0) faults.push(`${index} expires`);
    if (!lasting.has(index) && members.size > 0 && expires < Number(last(members))) {
      faults.push(`${index} expires before its last member`);
    }
  }
  const isExpected = (key: string) => expected.has(key) || key === keys.leases;
  const unexpected = Object.entries(dump).filter(([key, { members }]) => members !== undefined && !isExpected(key));
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
