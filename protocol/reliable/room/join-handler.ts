import { ClosedCode } from "../../closed-codes.ts";
import { ProtocolError } from "../../packet-framing.ts";
import type { Join } from "../../player-packets.ts";
import type { ConnectionSnapshot, RoomConnection, RoomConnections, RoomIdentity } from "./room-connections.ts";
import type { RoomDelivery } from "./room-delivery.ts";
import { type SenderBudget, SenderBudgets } from "./room-intake.ts";
import type { RoomLimits } from "./room-limits.ts";
import type { RoomStorage, Seat } from "./room-log.ts";
import type { RoomSeats } from "./room-seats.ts";

const REPLACED = "a newer connection has this session";

/** Gives connections their seats: the newest authenticated one wins at once, the older is closed as replaced. */
export class JoinHandler {
  readonly #room: string;
  readonly #storage: RoomStorage;
  readonly #limits: RoomLimits;
  readonly #seats: RoomSeats;
  readonly #connections: RoomConnections;
  readonly #delivery: RoomDelivery;
  readonly #budgets: SenderBudgets;

  constructor(
    { name, storage }: { readonly name: string; readonly storage: RoomStorage },
    limits: RoomLimits,
    seats: RoomSeats,
    connections: RoomConnections,
    delivery: RoomDelivery,
  ) {
    this.#room = name;
    this.#storage = storage;
    this.#limits = limits;
    this.#seats = seats;
    this.#connections = connections;
    this.#delivery = delivery;
    this.#budgets = new SenderBudgets(limits.sender);
  }

  /**
   * Answers a Join: gives the seat and starts the replay, or says why not.
   *
   * @throws ProtocolError the Join breaks the contract
   */
  join(connection: RoomConnection, join: Join, nowMs: number): JoinVerdict {
    const { identity } = connection;
    const seat = this.#seats.ofSession(identity.session);
    const verdict = judgeJoin(join, identity, {
      room: this.#room,
      storage: this.#storage,
      limits: this.#limits,
      memberCount: this.#seats.count,
      userSeats: this.#seats.countOfUser(identity.user),
      seat,
    });
    if (verdict.kind === "refused") return verdict;
    const budget = this.#budgets.of(identity.session, nowMs);
    if (!budget.takeJoin(this.#limits.sender, nowMs)) {
      return { kind: "refused", code: ClosedCode.TooFast, message: "more packets and joins are sent than may be" };
    }
    this.#seat(connection, join.attempt, seat, verdict, budget, nowMs);
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
      // It was never acknowledged: the player sends it again, but not on this connection.
      this.#connections.end(connection, ClosedCode.GoingAway, "the room lost its memory");
      return;
    }
    const place = live ? { ...snapshot, sent: this.#storage.head } : snapshot;
    connection.take(member, place, this.#budgets.of(seat.session, nowMs), nowMs);
    this.#connections.seat(connection, member);
    this.#delivery.recount(connection, member);
    this.#delivery.replay(connection, member);
    if (connection.ackedToPlayer < seat.received) connection.acks.ackNow(nowMs);
  }

  #seat(
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
    const place = {
      attempt,
      live: false,
      established: false,
      sent: offset,
      ackedByPlayer: offset,
      ackedToPlayer: received,
    };
    connection.take(member, place, budget, nowMs);
    this.#connections.seat(connection, member);
    const { retentionSeconds, heartbeatSeconds } = this.#limits;
    const { epoch } = this.#storage;
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
    if (!resumed) this.#delivery.tellMembers(connection);
    this.#delivery.replay(connection, member);
  }
}

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
