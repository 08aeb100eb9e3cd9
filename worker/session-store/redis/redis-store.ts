import { failedResponse, type SessionRequest, type SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { prepareIssues } from "../secrets.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import type { AwaitAcknowledgements, LogPage, LogRead } from "../session-log.ts";
import { type EndedSessions, type PreparedRequest, type SessionStore, STORE_DEADLINE_MS } from "../session-store.ts";
import { CHECK, CheckCall } from "./check.ts";
import { COUNT, CountCall } from "./count.ts";
import { ISSUE, IssueCall, REGISTER, RegisterCall } from "./create.ts";
import { DELETE, DeleteCall } from "./delete.ts";
import { READ, ReadCall } from "./read.ts";
import {
  type BatchCall,
  type CallResult,
  type CommandOutcome,
  type RedisEndpoint,
  type RedisScript,
  ScriptRunner,
} from "./scripts.ts";
import { RedisKeys } from "./session-record.ts";
import { END_SOME, endSomeCall, isSweepIncomplete, parseEnded, SWEEP, sweepCall } from "./sweep.ts";
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

/** Sessions in Redis, reached over REST (docs/architecture.md, "Redis layout"). One instance serves a whole isolate. */
export class RedisStore implements SessionStore {
  readonly #scripts: ScriptRunner;
  readonly #keys: RedisKeys;
  readonly #policy: SessionPolicy;
  readonly #background: (work: Promise<void>) => void;
  readonly #deadlineMs: number;

  constructor({ url, token, policy, keyPrefix, background, deadlineMs = STORE_DEADLINE_MS }: RedisStoreOptions) {
    this.#scripts = new ScriptRunner({ url, token }, EVERY_SCRIPT, deadlineMs);
    this.#keys = new RedisKeys(keyPrefix);
    this.#policy = policy;
    this.#background = background;
    this.#deadlineMs = deadlineMs;
  }

  async run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    if (requests.length === 0) return [];
    const endsAt = this.#deadline();
    // A thousand checks need no thousand promises.
    const prepared = requests.every((request) => request.kind !== "issue") ? requests : await prepareIssues(requests);
    const calls = planCalls(prepared);
    const outcomes = await this.#scripts.run(
      calls.map((call) => call.toScript(this.#keys, this.#policy)),
      endsAt,
    );
    const results = calls.map((call, index) => resultOf(call, outcomes?.[index]));
    const touches = results.flatMap((result) => result.touches);
    // A touch that is lost costs its session at most one touch interval.
    if (touches.length > 0) {
      const written = this.#scripts.run(touchCalls(touches, this.#keys, this.#policy), this.#deadline());
      this.#background(written.then(() => undefined));
    }
    return results.flatMap(({ responses }) => responses);
  }

  readLog(_read: LogRead): Promise<LogPage> {
    return Promise.resolve({ kind: "unavailable" });
  }

  async endAll(): Promise<EndedSessions> {
    const calls = Array.from({ length: ENDS_PER_REQUEST }, () => endSomeCall(this.#keys));
    let ended = 0;
    for (let request = 0; request < MAX_END_REQUESTS; request++) {
      const outcomes = (await this.#scripts.run(calls, this.#deadline())) ?? [];
      const replies = outcomes
        .map((outcome) => ("result" in outcome ? parseEnded(outcome.result) : undefined))
        .filter((reply) => reply !== undefined);
      ended += replies.reduce((sum, reply) => sum + reply.ended, 0);
      if (replies.some(({ complete }) => complete)) return { ended, complete: true };
      if (replies.length < ENDS_PER_REQUEST) break;
    }
    return { ended, complete: false };
  }

  ping(): Promise<boolean> {
    return this.#scripts.ping(this.#deadline());
  }

  async sweep(): Promise<void> {
    const calls = Array.from({ length: SWEEPS_PER_REQUEST }, () => sweepCall(this.#keys));
    for (let request = 0; request < MAX_SWEEP_REQUESTS; request++) {
      const outcomes = await this.#scripts.run(calls, this.#deadline());
      const last = outcomes?.at(-1);
      if (last === undefined || "error" in last || !isSweepIncomplete(last.result)) return;
    }
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

function resultOf(call: BatchCall, outcome: CommandOutcome | undefined): CallResult {
  if (outcome !== undefined && "result" in outcome) {
    try {
      return call.read(outcome.result);
    } catch {
      // The reply is not one of our script, so the server is not a store that can be used.
    }
  }
  return { responses: call.requests.map(({ kind }) => failedResponse(kind, Status.Unavailable)), touches: [] };
}
