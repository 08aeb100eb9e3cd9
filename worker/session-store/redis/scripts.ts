import { MAX_BATCH_REQUESTS, type SessionResponse } from "../../../protocol/session-request.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import type { Leases } from "../session-log.ts";
import type { PreparedRequest } from "../session-store.ts";
import type { RedisKeys } from "./session-record.ts";

/** A Lua script. Every one is idempotent: running it again because its reply was lost leaves the same sessions. */
export interface RedisScript {
  /** Runs as EVALSHA_RO, which redis-rest may send to a replica, unless the primary has to be asked. */
  readonly readOnly: boolean;
  /** It reads, and its KEYS name every key that it touches: Upstash need not lock the whole database for it. */
  readonly locksOnlyKeys?: true;
  readonly source: string;
}

/**
 * Upstash runs a script under one lock for the database, unless it begins with this line
 * (https://upstash.com/docs/redis/features/key-locking). Redis refuses to load a script with a flag that it does not know.
 */
const KEY_LOCKING = "#!lua flags=no-writes,allow-key-locking\n";

/** A read that is a command of Redis's own. */
export interface PlainRead {
  readonly command: RedisCommand;
}

/** A script with its KEYS and ARGV. */
export interface ScriptCall {
  readonly script: RedisScript;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/**
 * One call of a script that serves one or more neighbouring requests of a batch. It begins with one request and takes more
 * while the script can serve them together.
 */
export interface BatchCall {
  /** The requests that it serves, in their order. */
  readonly requests: readonly PreparedRequest[];
  /** Takes the next request of the batch; false if that has to begin another call. */
  add(request: PreparedRequest): boolean;
  toScript(keys: RedisKeys, policy: SessionPolicy, forBridge: boolean): ScriptCall | PlainRead;
  /**
   * Reads the script's reply. Throws UnexpectedReply, or what JSON.parse throws, if the reply is not of this script.
   *
   * @param forBridge whether the responses say what a bridge may keep of them
   */
  read(reply: unknown, policy: SessionPolicy, forBridge: boolean): CallResult;
}

/** What a reply says about the requests of its call. */
export interface CallResult {
  /** One per request, in their order. */
  readonly responses: SessionResponse[];
  readonly touches: readonly Touch[];
  /** The leases that may still run; absent unless the call may have ended or changed sessions that bridges keep. */
  readonly leases?: Leases;
}

/** A session whose expiry is due to move, because of a check at `at` (epoch ms by Redis's clock). */
export interface Touch {
  readonly sessid: number;
  readonly at: number;
}

/** The reads of the largest batch make one call: their keys fit into Lua's stack, which takes some 8,000 values. */
export const MAX_READS_PER_CALL = MAX_BATCH_REQUESTS;

/** Redis serves nobody else while a script runs: 100 writes take one to two milliseconds. */
export const MAX_WRITES_PER_CALL = 100;

/** What a run of calls returned. */
export interface ScriptOutcomes {
  /** One per call. */
  readonly outcomes: readonly CommandOutcome[];
  /** Whether the calls were sent again because a reply did not come: they may have been executed twice. */
  readonly isRepeat: boolean;
}

/** What one command of a pipeline returned. `error` is Redis's text: it may contain keys, so it is never shown. */
export type CommandOutcome = { readonly result: unknown } | { readonly error: string };

/** Where Redis is reached over REST (Upstash, or redis-rest). */
export interface RedisEndpoint {
  readonly url: string;
  readonly token: string;
}

/** Runs scripts over REST by their SHA-1, and loads them where they are missing: a new server, a restart, SCRIPT FLUSH. */
export class ScriptRunner {
  readonly #pipeline: RedisPipeline;
  readonly #scripts: readonly RedisScript[];
  /** By the script, the same with {@link KEY_LOCKING}. */
  readonly #lockingOnlyKeys: ReadonlyMap<RedisScript, RedisScript>;
  #shas: ReadonlyMap<RedisScript, string> | undefined;
  #loaded = false;
  /** Whether the server has loaded scripts with {@link KEY_LOCKING}; undefined until it was asked. */
  #knowsKeyLocking: boolean | undefined;

  /**
   * @param scripts all that may run. They are loaded together: if one of them were missing alone, its call would be
   *   repeated after the calls that follow it in the batch.
   */
  constructor(endpoint: RedisEndpoint, scripts: readonly RedisScript[], deadlineMs: number) {
    this.#pipeline = new RedisPipeline(endpoint, deadlineMs);
    this.#scripts = scripts;
    this.#lockingOnlyKeys = new Map(
      scripts
        .filter(({ locksOnlyKeys }) => locksOnlyKeys)
        .map((script) => [script, { ...script, source: KEY_LOCKING + script.source }]),
    );
  }

  /**
   * Runs the calls in their order in one round trip and returns the outcome of each; undefined if Redis could not be asked
   * before `endsAt` (epoch ms): then some or all of the calls may have been executed, once or twice. It does not reject.
   *
   * An isolate's first request brings the scripts along, so a deploy that changes one costs no second round trip. It also finds
   * out whether the server knows {@link KEY_LOCKING}.
   *
   * @param atPrimary whether reads may not be served by a replica
   */
  async run(
    calls: readonly (ScriptCall | PlainRead)[],
    endsAt: number,
    atPrimary = false,
  ): Promise<ScriptOutcomes | undefined> {
    this.#shas ??= await shasOf([...this.#scripts, ...this.#lockingOnlyKeys.values()]);
    const shas = this.#shas;
    const loads = this.#loaded || !calls.some(isScript) ? [] : this.#loadCommands();
    const shaOf = (script: RedisScript) =>
      shas.get((this.#knowsKeyLocking && this.#lockingOnlyKeys.get(script)) || script) ?? "";
    const verbOf = (call: ScriptCall, verb: string) => (call.script.readOnly && !atPrimary ? `${verb}_RO` : verb);
    const run = await this.#pipeline.run(
      [
        ...loads,
        ...calls.map((call) =>
          isScript(call) ? evalCommand(call, verbOf(call, "EVALSHA"), shaOf(call.script)) : call.command,
        ),
      ],
      endsAt,
    );
    if (run === undefined) return undefined;
    this.#loaded ||= loads.length > 0;
    const outcomes = run.outcomes.slice(loads.length);
    if (loads.length > 0) {
      const tried = run.outcomes.slice(this.#scripts.length, loads.length);
      this.#knowsKeyLocking ??= tried.every((outcome) => "result" in outcome);
    }

    // The calls whose script was missing, in their order: none of them was executed. They carry their source, because a replica
    // that serves reads does not have what was loaded at its primary.
    const missing = calls.filter((_, index) => isMissing(outcomes[index])).filter(isScript);
    if (missing.length === 0) return { outcomes, isRepeat: run.isRepeat };
    const reloads = this.#loadCommands();
    const second = await this.#pipeline.run(
      [...reloads, ...missing.map((call) => evalCommand(call, verbOf(call, "EVAL"), call.script.source))],
      endsAt,
    );
    let next = reloads.length;
    return {
      outcomes: outcomes.map((outcome) => (isMissing(outcome) ? (second?.outcomes[next++] ?? outcome) : outcome)),
      isRepeat: run.isRepeat || (second?.isRepeat ?? false),
    };
  }

  /** Whether Redis answers a PING before `endsAt` (epoch ms). */
  async ping(endsAt: number): Promise<boolean> {
    const outcome = (await this.#pipeline.run([["PING"]], endsAt))?.outcomes[0];
    return outcome !== undefined && "result" in outcome && outcome.result === "PONG";
  }

  #loadCommands(): RedisCommand[] {
    const refused = this.#knowsKeyLocking === false;
    const scripts = refused ? this.#scripts : [...this.#scripts, ...this.#lockingOnlyKeys.values()];
    return scripts.map(({ source }) => ["SCRIPT", "LOAD", source]);
  }
}

/** The reply does not have the form that its script returns: the address is wrong, or another program listens there. */
export class UnexpectedReply extends Error {
  constructor() {
    super("the reply does not have the form of its script's");
    this.name = "UnexpectedReply";
  }
}

/** The reply as a list. Throws UnexpectedReply. */
export function asList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw new UnexpectedReply();
  return reply;
}

/** The reply as a whole number. Throws UnexpectedReply. */
export function asInteger(reply: unknown): number {
  if (!Number.isSafeInteger(reply)) throw new UnexpectedReply();
  return Number(reply);
}

/** The reply as text. Throws UnexpectedReply. */
export function asText(reply: unknown): string {
  if (typeof reply !== "string") throw new UnexpectedReply();
  return reply;
}

/** The leases that stand at the end of a script's reply, if any: hub, ms, hub, ms, ... Throws UnexpectedReply. */
export function parseLeases(items: readonly unknown[]): Leases {
  return new Map(items.flatMap((hub, at) => (at % 2 === 0 ? [[asText(hub), asInteger(items[at + 1])] as const] : [])));
}

/** The meaning of a reply code, which is its place in `meanings`. Throws UnexpectedReply. */
export function asCode<T>(meanings: readonly T[], reply: unknown): T {
  const meaning = meanings[asInteger(reply)];
  if (meaning === undefined) throw new UnexpectedReply();
  return meaning;
}

/**
 * What the scripts of check.ts and read.ts say about the sessions in their KEYS: `now`, 13 digits, then a character per session:
 * "0" not found; from "1" on it lives, and the place counted from there is twice the seconds for which a bridge may keep it,
 * and one more if a touch is due.
 */
export interface Liveness {
  /** Epoch ms. */
  readonly now: number;
  isLive(index: number): boolean;
  touchIsDue(index: number): boolean;
  /** 0 in what read.ts returns: the records say it. */
  keepMs(index: number): number;
}

const CLOCK_DIGITS = 13;
const LIVE = "1".charCodeAt(0);

/** Parses the text for `count` sessions. Throws UnexpectedReply. */
export function parseLiveness(reply: unknown, count: number): Liveness {
  const text = asText(reply);
  if (text.length !== CLOCK_DIGITS + count || !/^\d{13}[0-n]*$/.test(text)) throw new UnexpectedReply();
  const stateOf = (index: number) => text.charCodeAt(CLOCK_DIGITS + index) - LIVE;
  return {
    now: Number(text.slice(0, CLOCK_DIGITS)),
    isLive: (index) => stateOf(index) >= 0,
    touchIsDue: (index) => stateOf(index) % 2 === 1,
    keepMs: (index) => (stateOf(index) >> 1) * 1000,
  };
}

export function isScript(call: ScriptCall | PlainRead): call is ScriptCall {
  return "script" in call;
}

function evalCommand({ keys, args }: ScriptCall, verb: string, code: string): RedisCommand {
  return [verb, code, String(keys.length), ...keys, ...args];
}

function isMissing(outcome: CommandOutcome | undefined): boolean {
  return outcome !== undefined && "error" in outcome && outcome.error.startsWith("NOSCRIPT");
}

async function shasOf(scripts: readonly RedisScript[]): Promise<ReadonlyMap<RedisScript, string>> {
  return new Map(await Promise.all(scripts.map(async (script) => [script, await sha1(script.source)] as const)));
}

/** In hexadecimal, as EVALSHA takes it. */
async function sha1(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex();
}

/** A command and its arguments, as the REST API takes them. */
export type RedisCommand = readonly string[];

/**
 * The parts of the deadline that one attempt and the pause before the second may take. Two attempts and the pause fit, with a
 * little left for the response: 2 * 0.45 + 0.05 < 1.
 */
const ATTEMPT_SHARE = 0.45;
const PAUSE_SHARE = 0.05;

/** Sends pipelines of commands over REST, each with one retry inside the deadline. */
class RedisPipeline {
  readonly #client: PipelineClient;
  readonly #attemptMs: number;
  readonly #pauseMs: number;

  constructor(endpoint: RedisEndpoint, deadlineMs: number) {
    this.#client = new PipelineClient(endpoint);
    this.#attemptMs = ATTEMPT_SHARE * deadlineMs;
    this.#pauseMs = PAUSE_SHARE * deadlineMs;
  }

  /**
   * The outcome of each command; undefined if the server could not be reached before `endsAt`, refused the request, or did
   * not return as many outcomes as there are commands.
   */
  async run(commands: readonly RedisCommand[], endsAt: number): Promise<ScriptOutcomes | undefined> {
    const first = await this.#attempt(commands, endsAt);
    if (first !== undefined) return { outcomes: first, isRepeat: false };
    if (Date.now() + this.#pauseMs >= endsAt) return undefined;
    await scheduler.wait(this.#pauseMs);
    const second = await this.#attempt(commands, endsAt);
    return second && { outcomes: second, isRepeat: true };
  }

  async #attempt(commands: readonly RedisCommand[], endsAt: number): Promise<CommandOutcome[] | undefined> {
    const timeoutMs = Math.min(this.#attemptMs, endsAt - Date.now());
    if (timeoutMs <= 0) return undefined;
    try {
      return parseOutcomes(await this.#client.post(commands, timeoutMs), commands.length);
    } catch {
      // Whatever the error is, it does not tell what became of the commands.
      return undefined;
    }
  }
}

/**
 * Posts pipelines to Upstash's REST API (https://upstash.com/docs/redis/features/restapi, "Pipelining"). `@upstash/redis` could do
 * it too, but nothing else of it would be used, and it would be a sixth of the gzipped bundle.
 */
class PipelineClient {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  /** With it, a replica serves a read only if it has the writes of this client. */
  #syncToken = "";

  constructor({ url, token }: RedisEndpoint) {
    this.#url = `${url.replace(/\/$/, "")}/pipeline`;
    this.#headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  }

  /** The body of the HTTP response. Rejects after `timeoutMs`, and if the status is not 2xx. */
  async post(commands: readonly RedisCommand[], timeoutMs: number): Promise<unknown> {
    const response = await fetch(this.#url, {
      method: "POST",
      headers: { ...this.#headers, "Upstash-Sync-Token": this.#syncToken },
      body: JSON.stringify(commands),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) {
      // Unread, it would hold the connection.
      await response.body?.cancel();
      throw new Error(`HTTP status ${response.status}`);
    }
    this.#syncToken = response.headers.get("Upstash-Sync-Token") ?? "";
    return response.json();
  }
}

function parseOutcomes(body: unknown, count: number): CommandOutcome[] {
  if (!Array.isArray(body) || body.length !== count) throw new UnexpectedReply();
  return body.map(parseOutcome);
}

function parseOutcome(item: unknown): CommandOutcome {
  if (typeof item === "object" && item !== null) {
    if ("error" in item && typeof item.error === "string") return { error: item.error };
    if ("result" in item) return { result: item.result };
  }
  throw new UnexpectedReply();
}
