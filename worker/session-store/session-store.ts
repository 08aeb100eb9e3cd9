import type { ResponseTo, SessionRequest, SessionResponse } from "../../protocol/session-request.ts";

/** The one door to storage: every verdict comes through it. Implementations pass test/worker/session-store's suite. */
export interface SessionStore {
  /**
   * Runs the requests in their order and answers each, in that order, in one round trip where the store allows it. It
   * does not reject: what the store could not be asked in time is answered with the status Unavailable.
   */
  run(requests: readonly SessionRequest[]): Promise<SessionResponse[]>;

  /**
   * Ends every session, in steps between which the store serves others. When it is complete there was a moment, after the
   * call, at which no session lived: what lives then was created later. It does not reject.
   */
  endAll(): Promise<EndedSessions>;

  /** Whether the store answers now. It does not reject. */
  ping(): Promise<boolean>;

  /** Trims what has expired from the indices. The verdicts and counts do not need it; the memory does. */
  sweep(): Promise<void>;
}

/** What came of ending every session. */
export interface EndedSessions {
  /** Sessions that lived and were ended; more may have been if an answer of the store was lost. */
  readonly ended: number;
  /** Whether none was left: not if the store could not be asked, or had more than one call ends. */
  readonly complete: boolean;
}

/** How long sessions live and how many a user may have (docs/architecture.md, "Sessions"). */
export interface SessionPolicy {
  /** Idle lifetime of a session that does not choose its own. */
  readonly idleMs: number;
  /** Absolute lifetime: no touch goes beyond it. */
  readonly maxMs: number;
  /** A touch is written at most once per min(this, a tenth of the idle time) per session; 0 is every check. */
  readonly touchIntervalMs: number;
  /** Live sessions that one user may have; 0 is no limit. */
  readonly maxSessionsPerUser: number;
  /** At the limit: TooMany for the new session, or the end of the one that was created first. */
  readonly limitPolicy: "reject" | "evict-oldest";
}

/** Runs a single request. A store answers each request in its place and kind; another answer is a bug in the store. */
export async function runOne<R extends SessionRequest>(
  store: SessionStore,
  request: R,
): Promise<ResponseTo<R["kind"]>> {
  const [response] = await store.run([request]);
  if (response?.kind !== request.kind) throw new Error(`the store answered a ${request.kind} with a ${response?.kind}`);
  return response as ResponseTo<R["kind"]>;
}

/** The time a run has in all, one retry inside it: then its requests are answered Unavailable (docs/architecture.md). */
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
