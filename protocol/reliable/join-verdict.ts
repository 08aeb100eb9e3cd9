import { ClosedCode } from "../closed-codes.ts";
import { ProtocolError } from "../packet-framing.ts";
import type { Join } from "../player-packets.ts";
import type { RoomLimits } from "./room-limits.ts";
import type { RoomIdentity } from "./room-output.ts";
import type { RoomStorage, Seat } from "./room-storage.ts";

/** What a room answers to a Join: `offset` is where its delivery starts. */
export type JoinVerdict =
  | { readonly kind: "accepted"; readonly resumed: boolean; readonly offset: number }
  | { readonly kind: "refused"; readonly code: ClosedCode; readonly message: string };

/** What of a room a Join is judged by. */
export interface JoinContext {
  readonly room: string;
  readonly storage: RoomStorage;
  readonly limits: RoomLimits;
  readonly memberCount: number;
  /** Seats of this user. */
  readonly userSeats: number;
  /** The seat that the session has, if it has one. */
  readonly seat: Seat | undefined;
}

/**
 * Judges a Join (docs/wire-protocol.md, "Player packets"). A resume must be newer than the seat's last Join, or it is a
 * late dial. It needs the seat and this log: a position in another incarnation of it is none, and the Join a fresh one.
 *
 * @throws ProtocolError the Join is for another room, or its position is one that this log has not reached
 */
export function judgeJoin(join: Join, identity: RoomIdentity, context: JoinContext): JoinVerdict {
  const { storage, limits, seat } = context;
  if (join.room !== context.room) throw new ProtocolError("out_of_range", "room: not the one of this address");
  if (join.token.some((byte) => byte !== 0) && !identity.acceptsToken(join.token)) {
    return refused(ClosedCode.SessionInvalid, "token: not the one of this connection");
  }
  if (seat !== undefined && join.epoch !== 0 && join.attempt <= seat.attempt) {
    return refused(ClosedCode.Replaced, "a newer connection has this session");
  }
  if (seat !== undefined && join.epoch === storage.epoch) {
    if (join.delivered > storage.head) throw new ProtocolError("out_of_range", "delivered: above the log's end");
    return { kind: "accepted", resumed: true, offset: Math.max(join.delivered, seat.start) };
  }
  if (seat === undefined && context.memberCount >= limits.maxMembers) {
    return refused(ClosedCode.RoomFull, "the room has all the members it may have");
  }
  if (seat === undefined && context.userSeats >= limits.maxSeatsPerUser) {
    return refused(ClosedCode.RoomFull, "this user has all the seats in the room that it may have");
  }
  return { kind: "accepted", resumed: false, offset: storage.historyStart(limits.historyMessages) };
}

function refused(code: ClosedCode, message: string): JoinVerdict {
  return { kind: "refused", code, message };
}
