import { readFileSync } from "node:fs";

/** What one port accepts; every limit has a {@link LimitCode}. */
export interface ConnectionLimits {
  /** Connections at once. */
  readonly maxConnections: number;
  /** Connections at once from one address. */
  readonly maxConnectionsPerAddress: number;
  /** A TLS handshake, or a packet whose first byte has come, must be complete within this time. */
  readonly packetTimeoutMs: number;
  /** A connection that neither sends nor is sent anything for this time is closed. */
  readonly idleMs: number;
  /** Bytes sent to a peer that the system could not pass on yet. */
  readonly maxUnreadBytes: number;
  /** A peer that takes none of what waits for it for this time is closed, however little waits. */
  readonly writeStallTimeoutMs: number;
}

/** Room for any game server that behaves, little for a flood; a port behind a load balancer may need more per address. */
export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  maxConnections: 10_000,
  maxConnectionsPerAddress: 1_000,
  packetTimeoutMs: 10_000,
  idleMs: 10 * 60_000,
  maxUnreadBytes: 1024 * 1024,
  writeStallTimeoutMs: 10_000,
};

/** The limits of a port that end a connection or refuse it. A code is stable: logs and metrics carry it. */
export type LimitCode =
  | "connections"
  | "connections_per_address"
  /** It had shown nothing yet, and its place was needed. */
  | "evicted"
  | "tls_handshake"
  | "first_byte"
  | "half_sent_packet"
  | "idle"
  | "unread_responses"
  /** No service key, or a wrong one. */
  | "service_key"
  | "wrong_keys"
  | "failing_checks"
  | "failed_joins";

/** Why a connection ended: its own course, a fault in its callbacks, or a limit. */
export type DisconnectCode =
  /** Both sides said that they are done. */
  | "finished"
  /** The peer reset the connection, or the network did. */
  | "reset"
  /** The peer sent what the protocol does not allow. */
  | "protocol_error"
  /** A callback threw: a bug of this program. */
  | "fault"
  /** This program stops. */
  | "shutdown"
  | LimitCode;

/**
 * How many files this process may have open, each connection being one; undefined where the system does not say (Linux
 * does). Node has raised its soft limit to the hard one.
 */
export function maxOpenFiles(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** The connections that a port may have, and the files that each of them takes. */
export interface FileDemand {
  readonly connections: number;
  readonly filesEach: number;
}

/**
 * Shares out open files: a port that is full must not leave the other without any. Returns the connections that each may
 * have, all of them if the files suffice, and else all lowered by the same factor.
 *
 * `reserved`: the files that are needed besides.
 */
export function shareOpenFiles(maxFiles: number, reserved: number, demands: readonly FileDemand[]): readonly number[] {
  const demanded = demands.reduce((files, { connections, filesEach }) => files + connections * filesEach, 0);
  const factor = Math.min(1, Math.max(0, maxFiles - reserved) / demanded);
  return demands.map(({ connections }) => Math.max(1, Math.floor(connections * factor)));
}
