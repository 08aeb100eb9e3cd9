import type { CommandOutcome, RedisCommand, RedisPipeline } from "./redis-pipeline.ts";
import { EVERY_SCRIPT } from "./redis-scripts/every-script.ts";
import type { RedisScript } from "./redis-scripts/redis-script.ts";

/** A script with its KEYS and ARGV. */
export interface ScriptCall {
  readonly script: RedisScript;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

const LOAD_EVERY_SCRIPT: readonly RedisCommand[] = EVERY_SCRIPT.map(({ source }) => ["SCRIPT", "LOAD", source]);

/** Calls scripts by their SHA-1, and loads them where they are missing: a new server, a restart, SCRIPT FLUSH. */
export class RedisScriptRunner {
  readonly #pipeline: RedisPipeline;
  #shas: ReadonlyMap<RedisScript, string> | undefined;
  #loaded = false;

  constructor(pipeline: RedisPipeline) {
    this.#pipeline = pipeline;
  }

  /**
   * Runs the calls in their order in one round trip; undefined as {@link RedisPipeline.run} says. An isolate's first request
   * brings the scripts along, so a deploy that changes one costs no second round trip.
   */
  async run(calls: readonly ScriptCall[], endsAt: number): Promise<CommandOutcome[] | undefined> {
    this.#shas ??= await shasOf(EVERY_SCRIPT);
    const shas = this.#shas;
    const loads = this.#loaded ? [] : LOAD_EVERY_SCRIPT;
    const commands = calls.map((call) => command(call, "EVALSHA", shas.get(call.script) ?? ""));
    const outcomes = await this.#pipeline.run([...loads, ...commands], endsAt);
    if (outcomes === undefined) return undefined;
    this.#loaded = true;
    return this.#repeatMissing(calls, outcomes.slice(loads.length), endsAt);
  }

  /**
   * Repeats, in their order, the calls whose script was missing; nothing of them was executed. They bring their source along:
   * a replica that answers reads has not what was loaded at its primary.
   */
  async #repeatMissing(calls: readonly ScriptCall[], outcomes: CommandOutcome[], endsAt: number) {
    const missing = calls.filter((_, index) => isMissing(outcomes[index]));
    if (missing.length === 0) return outcomes;
    const repeats = missing.map((call) => command(call, "EVAL", call.script.source));
    const repeated = await this.#pipeline.run([...LOAD_EVERY_SCRIPT, ...repeats], endsAt);
    let next = LOAD_EVERY_SCRIPT.length;
    return outcomes.map((outcome) => (isMissing(outcome) ? (repeated?.[next++] ?? outcome) : outcome));
  }
}

function command({ script, keys, args }: ScriptCall, verb: "EVAL" | "EVALSHA", code: string): RedisCommand {
  return [script.readOnly ? `${verb}_RO` : verb, code, String(keys.length), ...keys, ...args];
}

function isMissing(outcome: CommandOutcome | undefined): boolean {
  return outcome !== undefined && "error" in outcome && outcome.error.startsWith("NOSCRIPT");
}

async function shasOf(scripts: readonly RedisScript[]): Promise<ReadonlyMap<RedisScript, string>> {
  return new Map(await Promise.all(scripts.map(async (script) => [script, await sha1(script.source)] as const)));
}

/** In hexadecimal, as EVALSHA wants it. */
async function sha1(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
