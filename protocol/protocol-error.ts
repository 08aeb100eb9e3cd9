/** Stable codes of what a peer can do wrong on the wire. A code is part of the contract, its message is not. */
export type ProtocolErrorCode =
  | "size_too_small"
  | "size_too_large"
  | "payload_too_short"
  | "payload_too_long"
  | "bad_utf8"
  | "out_of_range"
  | "unknown_type"
  | "unexpected_packet";

/**
 * The peer broke the wire contract (docs/wire-protocol.md). The message names the field and what is allowed, and never
 * holds a session id or a secret, so it may be sent back and logged.
 */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
  }
}
