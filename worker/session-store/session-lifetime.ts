/**
 * How long sessions live, and how many a user may have (docs/architecture.md, "Sessions"). The configuration sets it for all
 * sessions; a request that creates a session may choose another idle lifetime (`idleMs` in protocol/session-request.ts).
 */
export interface SessionPolicy {
  /** Idle lifetime of a session that does not choose its own. */
  readonly idleMs: number;
  /** Absolute lifetime: no touch goes beyond it. */
  readonly maxMs: number;
  /** A session is touched at most once per min(this, a tenth of its idle time); 0: by every check. */
  readonly touchIntervalMs: number;
  /** Live sessions that one user may have; 0 is no limit. */
  readonly maxSessionsPerUser: number;
  /** At the limit: TooMany for the new session, or the end of the one that was created first. */
  readonly limitPolicy: "reject" | "evict-oldest";
}

/** The times of a live session, epoch ms, and its idle lifetime. */
export interface SessionTimes {
  readonly createdAt: number;
  readonly touchedAt: number;
  readonly expiresAt: number;
  readonly idleMs: number;
}

/** The longest that a bridge is told to keep a session. */
const MAX_KEEP_MS = 30_000;

/**
 * For how long a bridge may find a session live that was found live at `now`, whole seconds in ms. So a session in use is asked
 * for as often as touches are due, and never found live beyond its expiry.
 */
export function keepMsOf(
  { expiresAt, idleMs }: Pick<SessionTimes, "expiresAt" | "idleMs">,
  now: number,
  { touchIntervalMs }: SessionPolicy,
): number {
  const keepMs = Math.min(MAX_KEEP_MS, touchIntervalMs, idleMs / 10, expiresAt - now);
  return Math.floor(keepMs / 1000) * 1000;
}

/** When a session expires that is created, or refreshed, now. */
export function firstExpiry(now: number, idleMs: number, policy: SessionPolicy): number {
  return now + Math.min(idleMs, policy.maxMs);
}
