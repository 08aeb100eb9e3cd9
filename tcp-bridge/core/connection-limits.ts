import { readFileSync } from "node:fs";

/** The limits of one port for its connections. Each has a {@link LimitCode}. */
export interface ConnectionLimits {
  /** Connections at the same time. */
  readonly maxConnections: number;
  /** Connections at the same time from one address. */
  readonly maxConnectionsPerAddress: number;
  /** How long a TLS handshake may take, and a packet from its first byte to its last. */
  readonly packetTimeoutMs: number;
  /** A connection on which nothing is received or sent for this time is closed. */
  readonly idleMs: number;
  /** Bytes that wait for one peer to read them. */
  readonly maxUnreadBytes: number;
  /** A peer that reads nothing for this time while bytes wait for it is closed, however few wait. */
  readonly writeStallTimeoutMs: number;
}

/** Enough for every game server that behaves, and little for a flood. Behind a load balancer more per address may be needed. */
export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  maxConnections: 10_000,
  maxConnectionsPerAddress: 1_000,
  packetTimeoutMs: 10_000,
  idleMs: 10 * 60_000,
  maxUnreadBytes: 1024 * 1024,
  writeStallTimeoutMs: 10_000,
};

/** A limit that ended or refused a connection, or refused requests. Codes are stable: logs and metrics carry them. */
export type LimitCode =
  | "connections"
  | "connections_per_address"
  /** The port was full, and the connection had not proven to be worth its place. */
  | "evicted"
  /** The port is for proxies, and the peer is none of them. */
  | "untrusted_proxy"
  /** A proxy has not said for whom it has connected, or not as the PROXY protocol says it. */
  | "proxy_header"
  | "tls_handshake"
  | "first_byte"
  | "packet_timeout"
  | "idle"
  /** Too many bytes, or for too long, that the peer has not read. */
  | "unread_responses"
  /** No service key, or a wrong one. */
  | "service_key"
  | "wrong_keys"
  /** Too many requests of one connection wait for their responses. */
  | "requests_in_progress"
  | "failing_checks"
  | "failed_joins";

/** Why a connection ended. */
export type DisconnectCode =
  /** Both sides ended it. */
  | "finished"
  /** The peer reset the connection, or the network did. */
  | "reset"
  /** The peer broke the wire protocol. */
  | "protocol_error"
  /** A callback threw: a bug of the bridge. */
  | "fault"
  /** The bridge stops. */
  | "shutdown"
  | LimitCode;

/**
 * How many files this process may open; each connection is one. undefined if the system does not say; Linux does. Node has raised
 * its soft limit to the hard one.
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

/** The connections that a port may have, and the open files of each. */
export interface FileDemand {
  readonly connections: number;
  readonly filesEach: number;
}

/**
 * Divides open files between ports, so that one full port leaves files for the others. Returns the connections that each port may
 * have: all that it demands if the files suffice, otherwise all lowered by the same factor.
 *
 * `reserved`: files for other purposes.
 */
export function shareOpenFiles(maxFiles: number, reserved: number, demands: readonly FileDemand[]): readonly number[] {
  const demanded = demands.reduce((files, { connections, filesEach }) => files + connections * filesEach, 0);
  const factor = Math.min(1, Math.max(0, maxFiles - reserved) / demanded);
  return demands.map(({ connections }) => Math.max(1, Math.floor(connections * factor)));
}
