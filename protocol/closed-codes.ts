/**
 * Why a room, or the bridge in front of it, ends a player's connection: the u16 `code` of Closed (docs/wire-protocol.md, "Closed").
 * On a WebSocket the close code is {@link WEBSOCKET_CLOSE_BASE} + code.
 */
export const ClosedCode = {
  /** The player left or was removed. */
  Left: 1,
  /** A newer connection of the same session took the seat. */
  Replaced: 2,
  /** The session is unknown, expired or revoked. */
  SessionInvalid: 3,
  /** The player broke the wire protocol. */
  ProtocolError: 4,
  /** A limit is reached: members of the room, seats of the user in it, or rooms of the session. */
  RoomFull: 5,
  /** The player did not send an Ack or a Join, or did not read, in time. */
  TooSlow: 6,
  /** The room or the bridge shuts down, or a new version is deployed. */
  GoingAway: 7,
  /** The edge or its store cannot be reached. */
  Unavailable: 8,
  /** The session lacks the grant `room:<name>`. */
  Denied: 9,
  /** The player sent more beyond its budget than may be unacknowledged, or more packets or Joins than are allowed at all. */
  TooFast: 10,
} as const;

export type ClosedCode = (typeof ClosedCode)[keyof typeof ClosedCode];
export type ClosedCodeName = keyof typeof ClosedCode;

/**
 * Whether a client reconnects after a code: `no`, not by itself; `now`, as after a lost connection; `backoff`, after the next
 * delay of the back-off; `later`, after its longest delay.
 */
export type ReconnectRule = "no" | "now" | "backoff" | "later";

/** RFC 6455 §7.4.2 reserves 4000..4999 for private use. */
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

/** The reconnect rule of a wire code. For a code that this version does not know: `backoff`. */
export function reconnectRule(code: number): ReconnectRule {
  return NAMES.has(code) ? RULES[code as ClosedCode] : "backoff";
}

/** The name of a wire code for logs and metrics; `Closed(<code>)` for a code that this version does not know. */
export function closedCodeName(code: number): string {
  return NAMES.get(code) ?? `Closed(${code})`;
}

/** The wire code of a WebSocket close code, undefined if the close code is not in 4001..4999. */
export function closedCodeOfWebSocket(closeCode: number): number | undefined {
  const code = closeCode - WEBSOCKET_CLOSE_BASE;
  return code >= 1 && code <= 999 ? code : undefined;
}
