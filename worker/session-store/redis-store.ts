import { failedResponse, type SessionRequest, type SessionResponse } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import { prepareIssues } from "./prepared-issue.ts";
import { planCalls } from "./redis-calls/plan-calls.ts";
import { MAX_WRITES_PER_CALL, type RedisAnswer, type RedisCall, type Touch } from "./redis-calls/redis-call.ts";
import { SESSIONS_KEY, sessionKey, USERS_KEY } from "./redis-keys.ts";
import { type CommandOutcome, type RedisConfig, RedisPipeline } from "./redis-pipeline.ts";
import { RedisScriptRunner, type ScriptCall } from "./redis-script-runner.ts";
import { END_SOME } from "./redis-scripts/end-some.ts";
import { SWEEP } from "./redis-scripts/sweep.ts";
import { TOUCH } from "./redis-scripts/touch.ts";
import { type EndedSessions, type SessionPolicy, type SessionStore, STORE_DEADLINE_MS } from "./session-store.ts";

export interface RedisStoreOptions extends RedisConfig {
  readonly policy: SessionPolicy;
  /** Keeps work that the answer does not wait for alive: the Workers runtime's `waitUntil`. It never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly deadlineMs?: number;
}

/** A sweep's scripts trim 1,000 members each and go out ten at a time: at most 200,000 a sweep. */
const SWEEPS_PER_REQUEST = 10;
const MAX_SWEEP_REQUESTS = 20;

/**
 * A script that ends 250 sessions of as many users takes Redis 2 to 4 ms, and a request's scripts run without a pause; others are
 * served between two requests. A Worker may make 1,000 of those: at most 2 million sessions in one call.
 */
const ENDED_PER_SCRIPT = 250;
const ENDS_PER_REQUEST = 10;
const MAX_END_REQUESTS = 800;

/** Sessions in Redis, reached over REST (docs/architecture.md, "Redis layout"). One instance serves a whole isolate. */
export class RedisStore implements SessionStore {
  readonly #pipeline: RedisPipeline;
  readonly #scripts: RedisScriptRunner;
  readonly #policy: SessionPolicy;
  readonly #background: (work: Promise<void>) => void;
  readonly #deadlineMs: number;

  constructor({ url, token, policy, background, deadlineMs = STORE_DEADLINE_MS }: RedisStoreOptions) {
    this.#pipeline = new RedisPipeline({ url, token }, deadlineMs);
    this.#scripts = new RedisScriptRunner(this.#pipeline);
    this.#policy = policy;
    this.#background = background;
    this.#deadlineMs = deadlineMs;
  }

  async run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    if (requests.length === 0) return [];
    const endsAt = Date.now() + this.#deadlineMs;
    const calls = planCalls(await prepareIssues(requests));
    const scriptCalls = calls.map((call) => ({
      script: call.script,
      keys: call.keys(),
      args: call.args(this.#policy),
    }));
    const outcomes = await this.#scripts.run(scriptCalls, endsAt);
    const answers = calls.map((call, index) => answerOf(call, outcomes?.[index]));
    const touches = answers.flatMap((answer) => answer.touches);
    if (touches.length > 0) this.#background(this.#touch(touches));
    return answers.flatMap(({ responses }) => responses);
  }

  async endAll(): Promise<EndedSessions> {
    const end: ScriptCall = { script: END_SOME, keys: [SESSIONS_KEY, USERS_KEY], args: [String(ENDED_PER_SCRIPT)] };
    const ends = Array.from({ length: ENDS_PER_REQUEST }, () => end);
    let ended = 0;
    for (let request = 0; request < MAX_END_REQUESTS; request++) {
      const outcomes = await this.#scripts.run(ends, Date.now() + this.#deadlineMs);
      const replies = outcomes?.flatMap((outcome) => ("result" in outcome ? endedOf(outcome.result) : [])) ?? [];
      ended += replies.reduce((sum, reply) => sum + reply.ended, 0);
      if (replies.some(({ complete }) => complete)) return { ended, complete: true };
      if (replies.length < ENDS_PER_REQUEST) break;
    }
    return { ended, complete: false };
  }

  async ping(): Promise<boolean> {
    const outcomes = await this.#pipeline.run([["PING"]], Date.now() + this.#deadlineMs);
    const [outcome] = outcomes ?? [];
    return outcome !== undefined && "result" in outcome && outcome.result === "PONG";
  }

  async sweep(): Promise<void> {
    const sweep: ScriptCall = { script: SWEEP, keys: [SESSIONS_KEY, USERS_KEY], args: [] };
    for (let request = 0; request < MAX_SWEEP_REQUESTS; request++) {
      const sweeps = Array.from({ length: SWEEPS_PER_REQUEST }, () => sweep);
      const outcomes = await this.#scripts.run(sweeps, Date.now() + this.#deadlineMs);
      const last = outcomes?.at(-1);
      if (last === undefined || "error" in last || last.result !== 1) return;
    }
  }

  /** A touch that is lost costs its session at most one touch interval. */
  async #touch(touches: readonly Touch[]): Promise<void> {
    const { touchIntervalMs, maxMs } = this.#policy;
    const latest = [...new Map(touches.map(({ sessid, at }) => [sessid, at]))];
    const calls: ScriptCall[] = [];
    for (let first = 0; first < latest.length; first += MAX_WRITES_PER_CALL) {
      const part = latest.slice(first, first + MAX_WRITES_PER_CALL);
      calls.push({
        script: TOUCH,
        keys: [SESSIONS_KEY, USERS_KEY, ...part.map(([sessid]) => sessionKey(sessid))],
        args: [String(touchIntervalMs), String(maxMs), ...part.map(([, at]) => String(at))],
      });
    }
    await this.#scripts.run(calls, Date.now() + this.#deadlineMs);
  }
}

/** What END_SOME's reply says; none where it is not its reply. */
function endedOf(reply: unknown): EndedSessions[] {
  if (!Array.isArray(reply) || !Number.isSafeInteger(reply[0])) return [];
  return [{ ended: Number(reply[0]), complete: reply[1] === 0 }];
}

function answerOf(call: RedisCall, outcome: CommandOutcome | undefined): RedisAnswer {
  if (outcome !== undefined && "result" in outcome) {
    try {
      return call.read(outcome.result);
    } catch {
      // The reply is not our script's: whatever is there, it is not a store that could be asked.
    }
  }
  return { responses: call.requests.map(({ kind }) => failedResponse(kind, Status.Unavailable)), touches: [] };
}
