import { ClosedCode } from "../closed-codes.ts";
import type { Join } from "../player-packets.ts";
import { type JoinVerdict, judgeJoin } from "./join-verdict.ts";
import type { RoomConnection } from "./room-connection.ts";
import type { RoomConnections } from "./room-connections.ts";
import type { RoomDelivery } from "./room-delivery.ts";
import type { RoomLimits } from "./room-limits.ts";
import type { ConnectionSnapshot } from "./room-output.ts";
import type { RoomSeats } from "./room-seats.ts";
import type { RoomStorage, Seat } from "./room-storage.ts";
import { type SenderBudget, SenderBudgets } from "./sender-budget.ts";

const REPLACED = "a newer connection has this session";

/** Gives connections their seats: the newest authenticated one wins at once, the older is closed as replaced. */
export class RoomSeating {
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
    if (connection.confirmed < seat.received) connection.acks.urge(nowMs);
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
    const place = { attempt, live: false, established: false, sent: offset, acknowledged: offset, confirmed: received };
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
