import type { Presence } from "../player-packets.ts";

/** What the room core wants done, in order. A `connection` is the number that its driver gave it. */
export type RoomOutput =
  /** Send this binary message: one or more whole packets. */
  | { readonly kind: "write"; readonly connection: number; readonly bytes: Uint8Array }
  /** Close the connection after what was written; the WebSocket close code is 4000 + code. */
  | { readonly kind: "close"; readonly connection: number; readonly code: number; readonly message: string }
  /** Keep this with the connection: {@link RoomCore.restore} wants it back after the room's memory was lost. */
  | { readonly kind: "snapshot"; readonly connection: number; readonly snapshot: ConnectionSnapshot }
  /** What became of a member, once each. */
  | { readonly kind: "presence"; readonly member: number; readonly state: Presence; readonly user: string };

/** What a joined connection's place in the log is; a few numbers, so that it fits any attachment. */
export interface ConnectionSnapshot {
  readonly member: number;
  readonly attempt: number;
  /** Whether it has everything in the log; then `sent` does not matter. */
  readonly live: boolean;
  /** Whether it has ever had. */
  readonly established: boolean;
  readonly sent: number;
  /** The highest offset that the player acknowledged. */
  readonly acknowledged: number;
  /** The highest seq that the room acknowledged to it. */
  readonly confirmed: number;
  /** Whether it has published what waits in the room's memory. */
  readonly holds: boolean;
}

/** Whose connection it is, as its upgrade proved. */
export interface RoomIdentity {
  /** The same text for the same session only, whatever happens to its sessid. */
  readonly session: string;
  readonly user: string;
  /** Whether a Join may show this token on it. A zero token is accepted without asking. */
  acceptsToken(token: Uint8Array): boolean;
}
