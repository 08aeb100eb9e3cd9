import { failedResponse, type SessionRequest, type SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { prepareIssues } from "../secrets.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import { type AwaitAcknowledgements, type Leases, type LogPage, type LogRead, outlastLeases } from "../session-log.ts";
import {
  type EndedSessions,
  type PreparedRequest,
  type RunOptions,
  type SessionStore,
  STORE_DEADLINE_MS,
} from "../session-store.ts";
import { CHECK, CheckCall } from "./check.ts";
import { COUNT, CountCall } from "./count.ts";
import { ISSUE, IssueCall, REGISTER, RegisterCall } from "./create.ts";
import { DELETE, DeleteCall } from "./delete.ts";
import { LEASES, LOG_READ, leasesCall, logReadCall, parseLogPage } from "./log.ts";
import { READ, ReadCall } from "./read.ts";
import {
  asList,
  type BatchCall,
  type CallResult,
  type CommandOutcome,
  isScript,
  parseLeases,
  type RedisEndpoint,
  type RedisScript,
  ScriptRunner,
} from "./scripts.ts";
import { RedisKeys } from "./session-record.ts";
import { END_SOME, endSomeCall, parseEnded, parseSwept, SWEEP, sweepCall } from "./sweep.ts";
import { TOUCH, touchCalls } from "./touch.ts";
import { DELETE_USER, DeleteUserCall, LIST_USER, ListUserCall } from "./users.ts";

export interface RedisStoreOptions extends RedisEndpoint {
  readonly policy: SessionPolicy;
  /** The beginning of every key, so that other programs can use the database too (REDIS_KEY_PREFIX). */
  readonly keyPrefix: string;
  /** Keeps work alive that the responses do not wait for: the Workers runtime's `waitUntil`. It never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly deadlineMs?: number;
  /** The entries that its log keeps at least: SESSION_LOG_ENTRIES. */
  readonly logEntries?: number;
  /** Absent: writes wait until the leases have run out. */
  readonly awaitAcknowledgements?: AwaitAcknowledgements;
}

export const EVERY_SCRIPT: readonly RedisScript[] = [
  CHECK,
  READ,
  TOUCH,
  REGISTER,
  ISSUE,
  DELETE,
  DELETE_USER,
  END_SOME,
  LIST_USER,
  COUNT,
  SWEEP,
  LOG_READ,
  LEASES,
];

/** A sweep's scripts trim 1,000 members each and go out ten at a time: at most 200,000 a sweep. */
const SWEEPS_PER_REQUEST = 10;
const MAX_SWEEP_REQUESTS = 20;

/**
 * A request's scripts run without a pause; others are served between two requests. A Worker may make 1,000 of those: at most
 * 2 million sessions in one call.
 */
const ENDS_PER_REQUEST = 10;
const MAX_END_REQUESTS = 800;

const NONE: Leases = new Map();

/** Sessions in Redis, reached over REST (docs/architecture.md, "Redis layout"). One instance serves a whole isolate. */
export class RedisStore implements SessionStore {
  readonly #scripts: ScriptRunner;
  readonly #keys: RedisKeys;
  readonly #policy: SessionPolicy;
  readonly #background: (work: Promise<void>) => void;
  readonly #deadlineMs: number;
  readonly #awaitAcknowledgements: AwaitAcknowledgements;

  constructor(options: RedisStoreOptions) {
    const { url, token, policy, keyPrefix, background, deadlineMs = STORE_DEADLINE_MS, logEntries } = options;
    this.#scripts = new ScriptRunner({ url, token }, EVERY_SCRIPT, deadlineMs);
    this.#keys = new RedisKeys(keyPrefix, logEntries);
    this.#policy = policy;
    this.#background = background;
    this.#deadlineMs = deadlineMs;
    this.#awaitAcknowledgements = options.awaitAcknowledgements ?? outlastLeases;
  }

  async run(requests: readonly SessionRequest[], options?: RunOptions): Promise<SessionResponse[]> {
    if (requests.length === 0) return [];
    const endsAt = this.#deadline();
    // A thousand checks need no thousand promises.
    const prepared = requests.every((request) => request.kind !== "issue") ? requests : await prepareIssues(requests);
    const calls = planCalls(prepared);
    const forBridge = options?.forBridge ?? false;
    const scriptCalls = calls.map((call) => call.toScript(this.#keys, this.#policy, forBridge));
    const run = await this.#scripts.run(scriptCalls, endsAt, forBridge);
    const results = calls.map((call, index) => this.#resultOf(call, run?.outcomes[index], forBridge));
    const touches = results.flatMap((result) => result.touches);
    // A touch that is lost costs its session at most one touch interval.
    if (touches.length > 0) {
      const written = this.#scripts.run(touchCalls(touches, this.#keys, this.#policy), this.#deadline());
      this.#background(written.then(() => undefined));
    }
    const isWrite = (index: number) => {
      const call = scriptCalls[index];
      return call !== undefined && isScript(call) && !call.script.readOnly;
    };
    const isRepeat = (run?.isRepeat ?? false) || (options?.isRepeat ?? false);
    const leases = calls.some((_, index) => isWrite(index)) ? await this.#leasesAfter(results, isRepeat) : NONE;
    await this.#outlive(leases ?? NONE);
    return results.flatMap(({ responses }, index) =>
      leases === undefined && isWrite(index) ? responses.map(({ kind }) => unavailable(kind)) : responses,
    );
  }

  async readLog(read: LogRead): Promise<LogPage> {
    const run = await this.#scripts.run([logReadCall(this.#keys, read)], this.#deadline());
    return readOutcome(run?.outcomes[0], (reply) => parseLogPage(reply, read)) ?? { kind: "unavailable" };
  }

  async endAll(): Promise<EndedSessions> {
    const { leases, ...result } = await this.#endSteps();
    await this.#outlive(leases);
    return result;
  }

  ping(): Promise<boolean> {
    return this.#scripts.ping(this.#deadline());
  }

  async sweep(): Promise<void> {
    const calls = Array.from({ length: SWEEPS_PER_REQUEST }, () => sweepCall(this.#keys));
    for (let request = 0; request < MAX_SWEEP_REQUESTS; request++) {
      const run = await this.#scripts.run(calls, this.#deadline());
      const swept = (run?.outcomes ?? []).map((outcome) => readOutcome(outcome, parseSwept));
      await this.#outlive(new Map(swept.flatMap((step) => [...(step?.watchers ?? NONE)])));
      if (swept.at(-1)?.mayHaveMore !== true) return;
    }
  }

  /** The leases after the last step run for all of them: a lease that was granted since a step knows of it. */
  async #endSteps(): Promise<EndedSessions & { readonly leases: Leases }> {
    const calls = Array.from({ length: ENDS_PER_REQUEST }, () => endSomeCall(this.#keys));
    let ended = 0;
    let leases: Leases = NONE;
    for (let request = 0; request < MAX_END_REQUESTS; request++) {
      const run = await this.#scripts.run(calls, this.#deadline());
      const replies = (run?.outcomes ?? [])
        .map((outcome) => readOutcome(outcome, parseEnded))
        .filter((reply) => reply !== undefined);
      ended += replies.reduce((sum, reply) => sum + reply.ended, 0);
      leases = replies.at(-1)?.leases ?? leases;
      if (replies.some(({ complete }) => complete)) return { ended, leases, complete: true };
      if (replies.length < ENDS_PER_REQUEST) break;
    }
    return { ended, leases, complete: false };
  }

  /**
   * The leases for which the writes of a run have to wait; undefined if they could not be read. An attempt that is repeated
   * finds done what the first has done, so its own replies do not tell whether bridges have to hear of it.
   */
  async #leasesAfter(results: readonly CallResult[], isRepeat: boolean): Promise<Leases | undefined> {
    if (!isRepeat) return new Map(results.flatMap(({ leases = NONE }) => [...leases]));
    const run = await this.#scripts.run([leasesCall(this.#keys)], this.#deadline(), true);
    return readOutcome(run?.outcomes[0], (reply) => parseLeases(asList(reply)));
  }

  async #outlive(leases: Leases): Promise<void> {
    if (leases.size > 0) await this.#awaitAcknowledgements(leases);
  }

  #resultOf(call: BatchCall, outcome: CommandOutcome | undefined, forBridge: boolean): CallResult {
    const result = readOutcome(outcome, (reply) => call.read(reply, this.#policy, forBridge));
    return result ?? { responses: call.requests.map(({ kind }) => unavailable(kind)), touches: [] };
  }

  #deadline(): number {
    return Date.now() + this.#deadlineMs;
  }
}

/** The calls that serve a batch. They keep its order; neighbours that one script can serve together share a call. */
function planCalls(requests: readonly PreparedRequest[]): BatchCall[] {
  const calls: BatchCall[] = [];
  for (const request of requests) {
    if (!calls.at(-1)?.add(request)) calls.push(beginCall(request));
  }
  return calls;
}

function beginCall(request: PreparedRequest): BatchCall {
  switch (request.kind) {
    case "check":
      return new CheckCall(request);
    case "identify":
    case "checkAccess":
    case "get":
      return new ReadCall(request);
    case "register":
      return new RegisterCall(request);
    case "issue":
      return new IssueCall(request);
    case "delete":
      return new DeleteCall(request);
    case "listUser":
      return new ListUserCall(request);
    case "deleteUser":
      return new DeleteUserCall(request);
    case "count":
      return new CountCall(request);
  }
}

/** What `read` makes of a reply; undefined if there is none, or not one of our script: such a server cannot be used. */
function readOutcome<T>(outcome: CommandOutcome | undefined, read: (reply: unknown) => T): T | undefined {
  if (outcome === undefined || "error" in outcome) return undefined;
  try {
    return read(outcome.result);
  } catch {
    return undefined;
  }
}

function unavailable(kind: SessionRequest["kind"]): SessionResponse {
  return failedResponse(kind, Status.Unavailable);
}
