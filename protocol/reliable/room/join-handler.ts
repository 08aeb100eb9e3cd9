import { ClosedCode } from "../../closed-codes.ts";
import { ProtocolError } from "../../packet-framing.ts";
import type { Join } from "../../player-packets.ts";
import type { ConnectionSnapshot, RoomConnection, RoomConnections } from "./room-connections.ts";
import type { RoomDelivery } from "./room-delivery.ts";
import { type SenderBudget, SenderBudgets } from "./room-intake.ts";
import type { RoomLimits } from "./room-limits.ts";
import type { LogStorage } from "./room-log.ts";
import type { RoomSeats, Seat } from "./room-seats.ts";

/** The room's response to a Join: `offset` is where its delivery starts. */
type JoinVerdict =
  | { readonly kind: "accepted"; readonly resumed: boolean; readonly offset: number }
  | { readonly kind: "refused"; readonly code: ClosedCode; readonly message: string };

const REPLACED = "a newer connection has this session";

export interface JoinHandlerOptions {
  /** The room's name. */
  readonly room: string;
  readonly log: LogStorage;
  readonly limits: RoomLimits;
  readonly seats: RoomSeats;
  readonly connections: RoomConnections;
  readonly delivery: RoomDelivery;
}

/**
 * Gives connections their seats (docs/wire-protocol.md, "Player packets"). The newest authenticated connection of a session
 * gets the seat at once; the older one is closed as Replaced.
 */
export class JoinHandler {
  readonly #room: string;
  readonly #log: LogStorage;
  readonly #limits: RoomLimits;
  readonly #seats: RoomSeats;
  readonly #connections: RoomConnections;
  readonly #delivery: RoomDelivery;
  readonly #budgets: SenderBudgets;

  constructor({ room, log, limits, seats, connections, delivery }: JoinHandlerOptions) {
    this.#room = room;
    this.#log = log;
    this.#limits = limits;
    this.#seats = seats;
    this.#connections = connections;
    this.#delivery = delivery;
    this.#budgets = new SenderBudgets(limits.sender);
  }

  /**
   * Gives the seat and starts the replay, or says why not.
   *
   * @throws ProtocolError the Join breaks the protocol
   */
  join(connection: RoomConnection, join: Join, nowMs: number): JoinVerdict {
    const { session } = connection.identity;
    const seat = this.#seats.ofSession(session);
    const verdict = this.#judge(connection, join, seat);
    if (verdict.kind === "refused") return verdict;
    const budget = this.#budgets.of(session, nowMs);
    if (!budget.takeJoin(this.#limits.sender, nowMs)) {
      return refused(ClosedCode.TooFast, "more packets and joins are sent than may be");
    }
    this.#accept(connection, join.attempt, seat, verdict, budget, nowMs);
    return verdict;
  }

  /** Gives a connection that outlived the room's memory its seat back, if it still has it. */
  restore(connection: RoomConnection, snapshot: ConnectionSnapshot, nowMs: number): void {
    const { member, live } = snapshot;
    const seat = this.#seats.ofMember(member);
    const newer = this.#connections.ofMember(member);
    if (seat === undefined || seat.attempt !== snapshot.attempt || (newer !== undefined && newer.id > connection.id)) {
      this.#connections.end(connection, ClosedCode.Replaced, REPLACED);
      return;
    }
    if (newer !== undefined) this.#connections.end(newer, ClosedCode.Replaced, REPLACED);
    if (snapshot.holds) {
      // The room never acked these messages: the player sends them again, but only on another connection.
      this.#connections.end(connection, ClosedCode.GoingAway, "the room lost its memory");
      return;
    }
    const place = live ? { ...snapshot, sent: this.#log.head } : snapshot;
    connection.seat(member, place, this.#budgets.of(seat.session, nowMs), nowMs);
    this.#connections.seat(connection, member);
    this.#delivery.recount(connection, member);
    this.#delivery.replay(connection, member);
    if (connection.ackedToPlayer < seat.received) connection.acks.ackNow(nowMs);
  }

  /**
   * A resume needs the seat and this incarnation of the log; with a position in another incarnation the Join is a fresh one.
   * A resume must be newer than the seat's last Join, or it is a dial that arrived late.
   *
   * @throws ProtocolError the Join is for another room, or its position is one that this log has not reached
   */
  #judge({ identity }: RoomConnection, join: Join, seat: Seat | undefined): JoinVerdict {
    if (join.room !== this.#room) throw new ProtocolError("out_of_range", "room: not the one of this address");
    if (join.token.some((byte) => byte !== 0) && !identity.acceptsToken(join.token)) {
      return refused(ClosedCode.SessionInvalid, "token: not the one of this connection");
    }
    if (seat === undefined) {
      const { maxMembers, maxSeatsPerUser } = this.#limits;
      if (this.#seats.count >= maxMembers) {
        return refused(ClosedCode.RoomFull, "the room has all the members it may have");
      }
      if (this.#seats.countOfUser(identity.user) >= maxSeatsPerUser) {
        return refused(ClosedCode.RoomFull, "this user has all the seats in the room that it may have");
      }
    } else {
      if (join.epoch !== 0 && join.attempt <= seat.attempt) return refused(ClosedCode.Replaced, REPLACED);
      if (join.epoch === this.#log.epoch) {
        if (join.delivered > this.#log.head) throw new ProtocolError("out_of_range", "delivered: above the log's end");
        return { kind: "accepted", resumed: true, offset: Math.max(join.delivered, seat.start) };
      }
    }
    return { kind: "accepted", resumed: false, offset: this.#log.historyStart(this.#limits.historyMessages) };
  }

  #accept(
    connection: RoomConnection,
    attempt: number,
    before: Seat | undefined,
    { resumed, offset }: { readonly resumed: boolean; readonly offset: number },
    budget: SenderBudget,
    nowMs: number,
  ): void {
    const { session, user } = connection.identity;
    const older = this.#connections.ofMember(before?.member ?? 0);
    if (older !== undefined) this.#connections.end(older, ClosedCode.Replaced, REPLACED);
    const { member, received } =
      before === undefined
        ? this.#seats.create(session, user, offset, attempt, nowMs)
        : this.#seats.connect(before, attempt, offset, nowMs);
    const acked = { ackedByPlayer: offset, ackedToPlayer: received };
    connection.seat(member, { attempt, live: false, established: false, sent: offset, ...acked }, budget, nowMs);
    this.#connections.seat(connection, member);
    const { retentionSeconds, heartbeatSeconds } = this.#limits;
    const { epoch } = this.#log;
    connection.outbox.add({
      kind: "joined",
      resumed,
      member,
      epoch,
      offset,
      received,
      retentionSeconds,
      heartbeatSeconds,
    });
    if (!resumed) this.#delivery.sendMembers(connection);
    this.#delivery.replay(connection, member);
  }
}

function refused(code: ClosedCode, message: string): JoinVerdict {
  return { kind: "refused", code, message };
}
