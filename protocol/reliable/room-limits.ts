import { type AckLimits, DEFAULT_ACK_LIMITS } from "./ack-policy.ts";
import type { LogBounds } from "./room-storage.ts";

/** A room's timers and bounds (docs/architecture.md, "Reliable sessions and rooms"). */
export interface RoomLimits extends AckLimits {
  /** How long the seat of a lost connection is held. */
  readonly retentionSeconds: number;
  /** What Joined tells clients about their pings. */
  readonly heartbeatSeconds: number;
  /** From a connection to its Join. */
  readonly joinTimeoutMs: number;
  readonly maxMembers: number;
  /** Messages to everybody that a newcomer gets of what was said before. */
  readonly historyMessages: number;
  /** Delivered and not acknowledged, in bytes: above it a player is too slow. */
  readonly slowPlayerBytes: number;
  /** The same while a log is replayed: the room waits for acks, it does not close. */
  readonly replayWindowBytes: number;
  /** Datagrams to a player since it was last heard, in bytes: above it they are dropped, for it may not read at all. */
  readonly datagramWindowBytes: number;
  readonly log: LogBounds;
}

export const DEFAULT_ROOM_LIMITS: RoomLimits = {
  ...DEFAULT_ACK_LIMITS,
  retentionSeconds: 30,
  heartbeatSeconds: 10,
  joinTimeoutMs: 5_000,
  maxMembers: 1_000,
  historyMessages: 50,
  slowPlayerBytes: 1024 * 1024,
  replayWindowBytes: 256 * 1024,
  datagramWindowBytes: 1024 * 1024,
  log: { maxEntries: 10_000, maxBytes: 16 * 1024 * 1024, maxAgeMs: 60 * 60 * 1000 },
};
