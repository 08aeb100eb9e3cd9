import { failedResponse, type SessionRequest, type SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { prepareIssues } from "../secrets.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import {
  type AwaitAcknowledgements,
  DEFAULT_LOG_ENTRIES,
  type Leases,
  type LogPage,
  type LogRead,
  outlastLeases,
  WATCHERS,
} from "../session-log.ts";
import {
  type EndedSessions,
  type RunOptions,
  type SessionStore,
  STORE_DEADLINE_MS,
  settledWithin,
} from "../session-store.ts";
import type { EmbeddedOutcome, EmbeddedSessions, EndedStep } from "./embedded-sessions.ts";

export interface EmbeddedStoreOptions {
  readonly namespace: DurableObjectNamespace<EmbeddedSessions>;
  readonly policy: SessionPolicy;
  readonly deadlineMs?: number;
  /** The entries that its log keeps at least: SESSION_LOG_ENTRIES. */
  readonly logEntries?: number;
  /** Absent: writes wait until the leases have run out. */
  readonly awaitAcknowledgements?: AwaitAcknowledgements;
}

/** All sessions are in the object of this name. */
const OBJECT_NAME = "sessions";

/** A sweep's steps remove 1,000 rows each: at most 200,000 a sweep. */
const MAX_SWEEP_STEPS = 200;

/** A step ends 1,000 sessions: at most 800,000 in one call, within the number of calls that a Worker may make. */
const MAX_END_STEPS = 800;

const NONE: Leases = new Map();

/** Sessions in a Durable Object of this worker: there is no Redis to install or to pay for. */
export class EmbeddedStore implements SessionStore {
  readonly #namespace: DurableObjectNamespace<EmbeddedSessions>;
  readonly #policy: SessionPolicy;
  readonly #deadlineMs: number;
  readonly #logEntries: number;
  readonly #awaitAcknowledgements: AwaitAcknowledgements;

  constructor({
    namespace,
    policy,
    deadlineMs = STORE_DEADLINE_MS,
    logEntries = DEFAULT_LOG_ENTRIES,
    awaitAcknowledgements = outlastLeases,
  }: EmbeddedStoreOptions) {
    this.#namespace = namespace;
    this.#policy = policy;
    this.#deadlineMs = deadlineMs;
    this.#logEntries = logEntries;
    this.#awaitAcknowledgements = awaitAcknowledgements;
  }

  async run(requests: readonly SessionRequest[], options?: RunOptions): Promise<SessionResponse[]> {
    if (requests.length === 0) return [];
    const outcome = await settledWithin(this.#deadlineMs, this.#runTwice(requests, options));
    if (outcome === undefined) return requests.map(({ kind }) => failedResponse(kind, Status.Unavailable));
    await this.#outlive(outcome);
    return outcome.responses;
  }

  async readLog(read: LogRead): Promise<LogPage> {
    return (await settledWithin(this.#deadlineMs, this.#readLog(read))) ?? { kind: "unavailable" };
  }

  async endAll(): Promise<EndedSessions> {
    const { ended, complete, ...told } = await this.#endSteps();
    await this.#outlive(told);
    return { ended, complete };
  }

  async ping(): Promise<boolean> {
    return (await settledWithin(this.#deadlineMs, this.#object().ping())) !== undefined;
  }

  async sweep(): Promise<void> {
    for (let step = 0; step < MAX_SWEEP_STEPS; step++) {
      const swept = await settledWithin(this.#deadlineMs, this.#object().sweep(this.#logEntries));
      if (swept === undefined) return;
      await this.#outlive(swept);
      if (!swept.mayHaveMore) return;
    }
  }

  /** An object that is moved or redeployed drops the calls in progress; a new stub reaches its new place. */
  async #runTwice(requests: readonly SessionRequest[], options?: RunOptions): Promise<EmbeddedOutcome> {
    const prepared = await prepareIssues(requests);
    const { forBridge = false, isRepeat = false } = options ?? {};
    const settings = { policy: this.#policy, logEntries: this.#logEntries, forBridge };
    try {
      return await this.#object().run(prepared, { ...settings, isRepeat });
    } catch {
      return await this.#object().run(prepared, { ...settings, isRepeat: true });
    }
  }

  async #readLog(read: LogRead): Promise<LogPage> {
    return await this.#object().readLog(read, this.#logEntries);
  }

  /** The leases after the last step run for all of them: a lease that was granted since a step knows of it. */
  async #endSteps(): Promise<EndedStep> {
    let ended = 0;
    let last: EndedStep | undefined;
    for (let step = 0; step < MAX_END_STEPS && !last?.complete; step++) {
      const outcome = await settledWithin(this.#deadlineMs, this.#object().endSome(this.#logEntries));
      if (outcome === undefined) break;
      ended += outcome.ended;
      last = outcome;
    }
    return { leases: NONE, complete: false, ...last, ended };
  }

  async #outlive({ leases = NONE, watchMs }: Partial<EmbeddedOutcome>): Promise<void> {
    const all = watchMs === undefined ? leases : new Map([...leases, [WATCHERS, watchMs]]);
    if (all.size > 0) await this.#awaitAcknowledgements(all);
  }

  #object(): DurableObjectStub<EmbeddedSessions> {
    return this.#namespace.getByName(OBJECT_NAME);
  }
}
