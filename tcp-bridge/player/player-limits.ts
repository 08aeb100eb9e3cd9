import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from "../core/connection-limits.ts";

/** The limits of the player port. */
export interface PlayerPortLimits extends ConnectionLimits {
  /** From the TLS handshake's end to the whole Join. */
  readonly joinMs: number;
  /** Joins of one address that may fail in a minute: an unknown session, or a broken protocol. */
  readonly maxFailedJoinsPerMinute: number;
  /** The edge must answer a Join, and a ping, within this time. */
  readonly edgeDeadlineMs: number;
  /** Bytes of one player that the edge has not taken; above it the player is not read from. */
  readonly maxEdgeBytes: number;
}

/** Players ping after 10 s of silence and are dead after 25 s (docs/architecture.md); the bridge waits a little longer. */
export const DEFAULT_PLAYER_LIMITS: PlayerPortLimits = {
  ...DEFAULT_CONNECTION_LIMITS,
  idleMs: 30_000,
  joinMs: 5_000,
  maxFailedJoinsPerMinute: 60,
  // Below a client's 10 s from its dial to Joined, so that it hears why.
  edgeDeadlineMs: 5_000,
  // As much as a client may have unacknowledged.
  maxEdgeBytes: 256 * 1024,
};
