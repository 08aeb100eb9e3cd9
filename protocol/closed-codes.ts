/**
 * Why a room ends a connection, and whether the client comes back (docs/wire-protocol.md, "Player packets"). On a
 * WebSocket the close code is {@link WEBSOCKET_CLOSE_BASE} + code.
 */
export const ClosedCode = {
  /** The player left, or was removed. */
  Left: 1,
  /** A newer connection has this session. */
  Replaced: 2,
  /** Unknown, expired or revoked. */
  SessionInvalid: 3,
  /** The player broke the wire contract. */
  ProtocolError: 4,
  /** The room has all the members that it may have. */
  RoomFull: 5,
  /** The room waited for an Ack, a Join or a read that did not come in time. */
  TooSlow: 6,
  /** Shutdown or deploy. */
  GoingAway: 7,
  /** The edge cannot be reached. */
  Unavailable: 8,
  /** The session lacks the grant `room:<name>`. */
  Denied: 9,
  /** The player sent beyond its budget, and more than a window of it without waiting for Acks. */
  TooFast: 10,
} as const;

export type ClosedCode = (typeof ClosedCode)[keyof typeof ClosedCode];
export type ClosedCodeName = keyof typeof ClosedCode;

/**
 * When a client may dial again: `no`, never by itself; `now`, as after any lost connection; `backoff`, after a step of
 * the back-off; `later`, after its longest delay.
 */
export type ReconnectRule = "no" | "now" | "backoff" | "later";

/** RFC 6455 §7.4.2 keeps 4000..4999 for private use. */
export const WEBSOCKET_CLOSE_BASE = 4000;

const RULES: Readonly<Record<ClosedCode, ReconnectRule>> = {
  [ClosedCode.Left]: "no",
  [ClosedCode.Replaced]: "no",
  [ClosedCode.SessionInvalid]: "no",
  [ClosedCode.ProtocolError]: "no",
  [ClosedCode.RoomFull]: "later",
  [ClosedCode.TooSlow]: "now",
  [ClosedCode.GoingAway]: "backoff",
  [ClosedCode.Unavailable]: "backoff",
  [ClosedCode.Denied]: "no",
  [ClosedCode.TooFast]: "later",
};

const NAMES = new Map<number, ClosedCodeName>(
  Object.entries(ClosedCode).map(([name, code]) => [code, name as ClosedCodeName]),
);

/** The reconnect rule of a wire code. A code of a later version says nothing against coming back: `backoff`. */
export function reconnectRule(code: number): ReconnectRule {
  return NAMES.has(code) ? RULES[code as ClosedCode] : "backoff";
}

/** The name of a wire code for logs and people, `Closed(<code>)` for one that this version does not know. */
export function closedCodeName(code: number): string {
  return NAMES.get(code) ?? `Closed(${code})`;
}

/** The wire code that a WebSocket close code carries, undefined if a room did not choose it. */
export function closedCodeOfWebSocket(closeCode: number): number | undefined {
  const code = closeCode - WEBSOCKET_CLOSE_BASE;
  return code >= 1 && code <= 999 ? code : undefined;
}
