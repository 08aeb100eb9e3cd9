import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from "../core/connection-limits.ts";
import type { PlayerAddressLimits } from "./player-address.ts";

/** The limits of the player port. */
export interface PlayerPortLimits extends ConnectionLimits, PlayerAddressLimits {
  /** From the TLS handshake's end to the whole Join. */
  readonly joinMs: number;
  /** How late a player is told that its Join has failed, if its address is suspect. */
  readonly failedJoinDelayMs: number;
  /** The edge must answer a Join, and a ping, within this time. */
  readonly edgeDeadlineMs: number;
  /** Bytes of one player that the edge has not taken; above it the player is not read from. */
  readonly maxEdgeBytes: number;
}

/** Players ping after 10 s of silence and are dead after 25 s (docs/architecture.md); the bridge waits a little longer. */
export const DEFAULT_PLAYER_LIMITS: PlayerPortLimits = {
  ...DEFAULT_CONNECTION_LIMITS,
  idleMs: 30_000,
  // As long as a room waits for an Ack: it paces a slow player, and the bridge must not close it before. A room sends up to
  // 256 KiB at once, so this is a link of 9 KB/s.
  unreadMs: 30_000,
  joinMs: 5_000,
  maxFailedJoinsPerMinute: 60,
  maxAskedJoinsPerAddress: 32,
  // Below what a client waits for Joined, so that it hears why.
  failedJoinDelayMs: 3_000,
  // Below a client's 10 s from its dial to Joined, so that it hears why.
  edgeDeadlineMs: 5_000,
  // As much as a client may have unacknowledged.
  maxEdgeBytes: 256 * 1024,
};
