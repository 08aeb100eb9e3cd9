/** Stable codes of why a connection gave no answer. */
export type ConnectionErrorCode =
  /** No connection could be made. */
  | "connect_failed"
  /** The peer did not answer in time. */
  | "timeout"
  /** The connection ended, from which side ever. */
  | "closed"
  /** The peer answered what is not an answer to the request. */
  | "bad_answer"
  /** The peer refused a request, or the connection, with an ErrorResponse. */
  | "refused"
  /** The request does not fit into a packet; it was not sent. */
  | "too_large";

/** A request has no verdict, and why. Whether it took effect is unknown unless the code says so. */
export class ConnectionError extends Error {
  readonly code: ConnectionErrorCode;

  constructor(code: ConnectionErrorCode, message: string) {
    super(message);
    this.name = "ConnectionError";
    this.code = code;
  }
}
