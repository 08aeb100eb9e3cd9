import { setTimeout as pause } from "node:timers/promises";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { seededRandom } from "../random.ts";
import { restPost } from "../redis/redis-rest.ts";
import { History } from "./linearizability.ts";
import type { RegisterInput, RegisterOutput } from "./register-model.ts";

const CLIENTS = 16;
const KEYS = 8;
const READS = 0.6;
const REMOVALS = 0.05;
/** So that two cores have time left for Redis. */
const PAUSE_MS = 4;
/** After an error, as any caller should. */
const BACK_OFF_MS = 20;

/** Clients that read, write and remove the same few keys through one redis-rest or several, and remember what they saw. */
export class RegisterLoad {
  readonly history = new History<RegisterInput, RegisterOutput>();
  /** By redis-rest: when it last responded, on performance.now()'s clock, and how often. */
  readonly responses: { lastMs: number; reads: number; writes: number }[];
  readonly #clients: readonly Promise<void>[];
  #isStopping = false;

  constructor(rests: readonly RedisRest[], seed: number) {
    this.responses = rests.map(() => ({ lastMs: 0, reads: 0, writes: 0 }));
    this.#clients = Array.from({ length: CLIENTS }, (_, client) => this.#run(rests, client, seed + client));
  }

  async stop(): Promise<History<RegisterInput, RegisterOutput>> {
    this.#isStopping = true;
    await Promise.all(this.#clients);
    return this.history;
  }

  async #run(rests: readonly RedisRest[], client: number, seed: number): Promise<void> {
    const random = seededRandom(seed);
    const index = client % rests.length;
    const [rest, responded] = [rests[index], this.responses[index]];
    if (rest === undefined || responded === undefined) throw new Error("there is a redis-rest to ask");
    for (let turn = 0; !this.#isStopping; turn++) {
      const key = `k${random.integer(0, KEYS - 1)}`;
      const input = choose(random, `${client}:${turn}`);
      const output = await this.history.record(client, key, input, () => ask(rest, key, input));
      if (output !== undefined) {
        responded.lastMs = performance.now();
        if (input.kind === "read") responded.reads++;
        else responded.writes++;
      }
      await pause(output === undefined ? BACK_OFF_MS : PAUSE_MS);
    }
  }
}

function choose(random: { chance(probability: number): boolean }, value: string): RegisterInput {
  if (random.chance(READS)) return { kind: "read" };
  return { kind: "write", value: random.chance(REMOVALS) ? null : value };
}

async function ask(rest: RedisRest, key: string, input: RegisterInput): Promise<RegisterOutput> {
  const { status, json, text } = await restPost(rest, "/", commandOf(key, input));
  if (status !== 200) throw new Error(text);
  return input.kind === "write" ? "done" : { value: (json as { readonly result: string | null }).result };
}

function commandOf(key: string, input: RegisterInput): readonly string[] {
  if (input.kind === "read") return ["GET", key];
  return input.value === null ? ["DEL", key] : ["SET", key, input.value];
}
