/** Stable codes of why the edge gave no answers to a batch. */
export type EdgeFailureCode =
  /** No connection, or it broke. */
  | "edge_unreachable"
  /** No answer in time. */
  | "edge_timeout"
  /** The edge does not accept API_KEY. */
  | "edge_unauthenticated"
  /** The edge has no API_KEYS at all. */
  | "edge_not_configured"
  /** The edge says that the batch itself is wrong: a bug, on this side or on that. */
  | "edge_rejected"
  /** The edge answered with another status than 200: it has trouble of its own, or EDGE_URL is not an edge. */
  | "edge_status"
  /** Status 200, but the body is not the answers to this batch. */
  | "edge_bad_answer";

/** One attempt's outcome. */
export type EdgeResult = { readonly kind: "answered"; readonly answers: Uint8Array } | EdgeFailure;

export interface EdgeFailure {
  readonly kind: "failed";
  readonly code: EdgeFailureCode;
  /** For the log: never holds the key, a packet or what a packet holds. */
  readonly detail: string;
  /** Whether another attempt may have another outcome. Whether it is safe, the batch decides. */
  readonly worthRetrying: boolean;
}

export function edgeFailure(code: EdgeFailureCode, detail: string): EdgeFailure {
  const lasting = code === "edge_unauthenticated" || code === "edge_not_configured" || code === "edge_rejected";
  return { kind: "failed", code, detail, worthRetrying: !lasting };
}
