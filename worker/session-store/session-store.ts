import type { IssueRequest, ResponseTo, SessionRequest, SessionResponse } from "../../protocol/session-request.ts";
import type { LogPage, LogRead } from "./session-log.ts";

/** Where sessions are kept. Every verdict comes from it. Implementations pass the suite of test/worker/session-store. */
export interface SessionStore {
  /**
   * Runs the requests in their order and returns a response to each, in that order; in one round trip where the store allows
   * it. It does not reject: a request that could not be run in time gets the status Unavailable.
   *
   * While bridges hold leases, a write that may have ended or changed sessions resolves only when no bridge answers by their old
   * state (session-log.ts, AwaitAcknowledgements).
   */
  run(requests: readonly SessionRequest[], options?: RunOptions): Promise<SessionResponse[]>;

  /** Reads a page of the log of sessions, up to this moment. It does not reject. */
  readLog(read: LogRead): Promise<LogPage>;

  /**
   * Ends every session, in steps between which the store serves others. If it is complete, there was a moment after the call
   * at which no session lived: a session that lives later was created later. It does not reject.
   */
  endAll(): Promise<EndedSessions>;

  /** Whether the store responds now. It does not reject. */
  ping(): Promise<boolean>;

  /** Trims expired sessions from the indices. This frees memory; verdicts and counts do not depend on it. */
  sweep(): Promise<void>;
}

/** How a store runs requests. */
export interface RunOptions {
  /**
   * The requests come from a bridge that keeps sessions in memory: the reads are not served by a replica, and Ok responses to
   * check, checkAccess and identify say for how long they may be kept (`keepMs`).
   */
  readonly forBridge: boolean;
  /**
   * The requests may have been executed before, because a response to the same ones was lost: a write finds done what it did then,
   * and waits for bridges all the same.
   */
  readonly isRepeat?: boolean;
}

/** The result of ending every session. */
export interface EndedSessions {
  /** How many live sessions were ended; there may have been more if a reply of the store was lost. */
  readonly ended: number;
  /** Whether no session was left: false if the store could not be reached, or held more than one call ends. */
  readonly complete: boolean;
}

/** Runs a single request. Throws if the response is of another kind, which is a bug in the store. */
export async function runOne<R extends SessionRequest>(
  store: SessionStore,
  request: R,
): Promise<ResponseTo<R["kind"]>> {
  const [response] = await store.run([request]);
  if (response?.kind !== request.kind)
    throw new Error(`the store responded to a ${request.kind} with a ${response?.kind}`);
  return response as ResponseTo<R["kind"]>;
}

/** The time of a run, one retry included; after it the requests are Unavailable (docs/architecture.md). */
export const STORE_DEADLINE_MS = 1000;

/** The promise's value; undefined if it rejects or takes longer than `ms`. Its later outcome is ignored. */
export async function settledWithin<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: expiry, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise.catch(() => undefined), expiry]);
  } finally {
    clearTimeout(timer);
  }
}

/** A request that a store can execute: an issue has its random values ({@link PreparedIssue}). */
export type PreparedRequest = Exclude<SessionRequest, IssueRequest> | PreparedIssue;

/**
 * An issue with its random values, drawn once per request (secrets.ts): when a store repeats it because a reply was lost, it
 * finds the session that the first attempt created instead of creating another.
 */
export interface PreparedIssue extends IssueRequest {
  /** Random sessids, tried in this order until one is free. */
  readonly candidates: readonly number[];
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly secretHash: string;
}
