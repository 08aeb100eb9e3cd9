/** What one port accepts; every limit has a stable code (core/disconnect-code.ts). */
export interface ConnectionLimits {
  /** Connections at once. */
  readonly maxConnections: number;
  /** Connections at once from one address. */
  readonly maxConnectionsPerAddress: number;
  /** A TLS handshake, or a packet whose first byte has come, must be complete within this time. */
  readonly halfSentMs: number;
  /** A connection that neither sends nor is sent anything for this time is closed. */
  readonly idleMs: number;
  /** Bytes sent to a peer that the system could not pass on yet. */
  readonly maxUnreadBytes: number;
  /** A peer that takes none of what waits for it for this time is closed, however little waits. */
  readonly unreadMs: number;
}

/** Room for any game server that behaves, little for a flood; a port behind a load balancer may need more per address. */
export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  maxConnections: 10_000,
  maxConnectionsPerAddress: 1_000,
  halfSentMs: 10_000,
  idleMs: 10 * 60_000,
  maxUnreadBytes: 1024 * 1024,
  unreadMs: 10_000,
};
