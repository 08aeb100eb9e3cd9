import { type AckLimits, DEFAULT_ACK_LIMITS } from "../flow-control.ts";
import type { LogBounds } from "./room-log.ts";

/** A rate limit: `burst` at once, then `perSecond`. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one member may send (docs/rooms.md, "What a member may send"). */
export interface SenderRates {
  readonly messages: Rate;
  /** Bytes of messages, each as its entry in the log counts. */
  readonly bytes: Rate;
  readonly datagrams: Rate;
  /** Bytes of datagrams, each with its packet's header. */
  readonly datagramBytes: Rate;
  /** All packets, also those that are refused or dropped: each costs the room time. */
  readonly packets: Rate;
}

/** A room's timers and bounds (docs/architecture.md, "Reliable sessions and rooms"). */
export interface RoomLimits extends AckLimits {
  /** How long the seat of a lost connection is held. */
  readonly retentionSeconds: number;
  /** How often clients ping: Joined tells them. */
  readonly heartbeatSeconds: number;
  /** From the connection to its Join. */
  readonly joinTimeoutMs: number;
  readonly maxMembers: number;
  /** How many of the last messages to everybody a new member gets. */
  readonly historyMessages: number;
  /** Seats that one user may have, with all its sessions. */
  readonly maxSeatsPerUser: number;
  /** Connections without a Join, of all sessions and of one session. Above it the oldest is closed. */
  readonly maxUnjoined: number;
  readonly maxUnjoinedPerSession: number;
  /** Bytes delivered to a member and not acked. Above it the member is paced, as in a replay. */
  readonly liveWindowBytes: number;
  /** The same during a replay, or while the member is paced. */
  readonly replayWindowBytes: number;
  /** A member that the room waits for is closed as too slow if it acks nothing for this time. */
  readonly ackTimeoutMs: number;
  readonly sender: SenderRates;
  /** Bytes of datagrams to a player since it was last heard. Above it they are dropped: the player may not read at all. */
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
  // Half of what a bridge buffers for a player that does not read.
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
