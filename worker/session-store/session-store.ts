import type { SessionRequest, SessionResponse } from "../../protocol/session-request.ts";

/** The one door to storage: every verdict comes through it. Implementations pass test/worker/session-store's suite. */
export interface SessionStore {
  /**
   * Runs the requests in their order and answers each, in that order, in one round trip where the store allows it. It
   * does not reject: what the store could not be asked in time is answered with the status Unavailable.
   */
  run(requests: readonly SessionRequest[]): Promise<SessionResponse[]>;

  /** Whether the store answers now. It does not reject. */
  ping(): Promise<boolean>;

  /** Trims what has expired from the indices. The verdicts and counts do not need it; the memory does. */
  sweep(): Promise<void>;
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
