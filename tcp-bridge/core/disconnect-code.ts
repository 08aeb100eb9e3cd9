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
