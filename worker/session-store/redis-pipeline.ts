import { Redis } from "@upstash/redis/cloudflare";

/** A command and its arguments, as the REST API takes them. */
export type RedisCommand = readonly string[];

/** What one command of a pipeline came to. `error` is Redis's text: it may name keys, so it is never shown. */
export type CommandOutcome = { readonly result: unknown } | { readonly error: string };

/** Where Redis is reached over REST (Upstash, or redis-rest). */
export interface RedisConfig {
  readonly url: string;
  readonly token: string;
}

/**
 * The part of the deadline that one attempt may take: two attempts and the pause between them fit, with a little for the
 * answer's way: 2 * 0.45 + 0.05 < 1.
 */
const ATTEMPT_SHARE = 0.45;
const PAUSE_SHARE = 0.05;

/** Sends pipelines of commands over REST, each with one retry inside a deadline. Lives as long as its isolate. */
export class RedisPipeline {
  readonly #client: PipelineClient;
  readonly #attemptMs: number;
  readonly #pauseMs: number;

  constructor(config: RedisConfig, deadlineMs: number) {
    this.#client = new PipelineClient(config);
    this.#attemptMs = ATTEMPT_SHARE * deadlineMs;
    this.#pauseMs = PAUSE_SHARE * deadlineMs;
  }

  /**
   * Runs the commands in their order and gives the outcome of each; undefined if the server could not be asked until
   * `endsAt` (epoch ms), refused the request or did not answer it with as many outcomes. Some or all of the commands may
   * have been executed then, once or twice. It does not reject.
   */
  async run(commands: readonly RedisCommand[], endsAt: number): Promise<CommandOutcome[] | undefined> {
    const outcomes = await this.#attempt(commands, endsAt);
    if (outcomes !== undefined || Date.now() + this.#pauseMs >= endsAt) return outcomes;
    await scheduler.wait(this.#pauseMs);
    return this.#attempt(commands, endsAt);
  }

  async #attempt(commands: readonly RedisCommand[], endsAt: number): Promise<CommandOutcome[] | undefined> {
    const timeoutMs = Math.min(this.#attemptMs, endsAt - Date.now());
    if (timeoutMs <= 0) return undefined;
    try {
      return parseOutcomes(await this.#client.post(commands, timeoutMs), commands.length);
    } catch {
      // Whatever it was, it is not the commands' outcome.
      return undefined;
    }
  }
}

/** The client with its own retries off (they have no deadline) and its replies left alone (it would parse them as JSON). */
class PipelineClient extends Redis {
  constructor({ url, token }: RedisConfig) {
    super({
      url,
      token,
      automaticDeserialization: false,
      responseEncoding: false,
      enableTelemetry: false,
      retry: { retries: 0 },
    });
  }

  /**
   * The body of the answer; after `timeoutMs` a rejection, or what is no list of outcomes. The client's pipeline builder
   * would make some 250 closures per batch; the request beneath makes none.
   */
  post(commands: readonly RedisCommand[], timeoutMs: number): Promise<unknown> {
    return this.client.request({ path: ["pipeline"], body: commands, signal: AbortSignal.timeout(timeoutMs) });
  }
}

function parseOutcomes(body: unknown, count: number): CommandOutcome[] {
  if (!Array.isArray(body) || body.length !== count) throw new Error("the answer has not an outcome for each command");
  return body.map(parseOutcome);
}

function parseOutcome(item: unknown): CommandOutcome {
  if (typeof item === "object" && item !== null) {
    if ("error" in item && typeof item.error === "string") return { error: item.error };
    if ("result" in item) return { result: item.result };
  }
  throw new Error("the answer has not an outcome for each command");
}
