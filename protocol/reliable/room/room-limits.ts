import { type AckLimits, DEFAULT_ACK_LIMITS } from "../flow-control.ts";
import type { SenderRates } from "./room-intake.ts";
import type { LogBounds } from "./room-log.ts";

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
  /** Seats that one user may have, with all its sessions. */
  readonly maxSeatsPerUser: number;
  /** Connections without a Join, of all sessions and of one: above it the oldest is closed. */
  readonly maxUnjoined: number;
  readonly maxUnjoinedPerSession: number;
  /** Delivered and not acknowledged, in bytes: above it a member is paced, as in a replay. */
  readonly liveWindowBytes: number;
  /** The same while a log is replayed, or a member is paced. */
  readonly replayWindowBytes: number;
  /** How long a member that the room waits for may acknowledge nothing: then it is too slow. */
  readonly ackTimeoutMs: number;
  readonly sender: SenderRates;
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
  maxSeatsPerUser: 10,
  maxUnjoined: 1_000,
  maxUnjoinedPerSession: 4,
  // Half of what a bridge keeps for a player that does not read.
  liveWindowBytes: 512 * 1024,
  replayWindowBytes: 256 * 1024,
  ackTimeoutMs: 30_000,
  sender: {
    messages: { perSecond: 500, burst: 2_000 },
    bytes: { perSecond: 256 * 1024, burst: 512 * 1024 },
    datagrams: { perSecond: 200, burst: 400 },
    datagramBytes: { perSecond: 128 * 1024, burst: 512 * 1024 },
    packets: { perSecond: 10_000, burst: 20_000 },
  },
  datagramWindowBytes: 1024 * 1024,
  log: {
    maxEntries: 10_000,
    maxBytes: 16 * 1024 * 1024,
    maxAgeMs: 60 * 60 * 1000,
    neededMs: 60_000,
    maxNeededBytes: 128 * 1024 * 1024,
  },
};
