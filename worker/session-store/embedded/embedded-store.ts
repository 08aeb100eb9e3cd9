import { failedResponse, type SessionRequest, type SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { prepareIssues } from "../secrets.ts";
import type { SessionPolicy } from "../session-lifetime.ts";
import type { AwaitAcknowledgements, LogPage, LogRead } from "../session-log.ts";
import { type EndedSessions, type SessionStore, STORE_DEADLINE_MS, settledWithin } from "../session-store.ts";
import type { EmbeddedSessions } from "./embedded-sessions.ts";

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

/** Sessions in a Durable Object of this worker: there is no Redis to install or to pay for. */
export class EmbeddedStore implements SessionStore {
  readonly #namespace: DurableObjectNamespace<EmbeddedSessions>;
  readonly #policy: SessionPolicy;
  readonly #deadlineMs: number;

  constructor({ namespace, policy, deadlineMs = STORE_DEADLINE_MS }: EmbeddedStoreOptions) {
    this.#namespace = namespace;
    this.#policy = policy;
    this.#deadlineMs = deadlineMs;
  }

  async run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    if (requests.length === 0) return [];
    const responses = await settledWithin(this.#deadlineMs, this.#runTwice(requests));
    return responses ?? requests.map(({ kind }) => failedResponse(kind, Status.Unavailable));
  }

  readLog(_read: LogRead): Promise<LogPage> {
    return Promise.resolve({ kind: "unavailable" });
  }

  async endAll(): Promise<EndedSessions> {
    let ended = 0;
    for (let step = 0; step < MAX_END_STEPS; step++) {
      const outcome = await settledWithin(this.#deadlineMs, this.#object().endSome());
      if (outcome === undefined) break;
      ended += outcome.ended;
      if (outcome.complete) return { ended, complete: true };
    }
    return { ended, complete: false };
  }

  async ping(): Promise<boolean> {
    return (await settledWithin(this.#deadlineMs, this.#object().run([], this.#policy))) !== undefined;
  }

  async sweep(): Promise<void> {
    for (let step = 0; step < MAX_SWEEP_STEPS; step++) {
      if ((await settledWithin(this.#deadlineMs, this.#object().sweep())) !== true) return;
    }
  }

  /** An object that is moved or redeployed drops the calls in progress; a new stub reaches its new place. */
  async #runTwice(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    const prepared = await prepareIssues(requests);
    try {
      return await this.#object().run(prepared, this.#policy);
    } catch {
      return await this.#object().run(prepared, this.#policy);
    }
  }

  #object(): DurableObjectStub<EmbeddedSessions> {
    return this.#namespace.getByName(OBJECT_NAME);
  }
}
