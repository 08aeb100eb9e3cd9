import { Presence } from "../../player-packets.ts";

/** A session's place in a room, with or without a connection. */
export interface Seat {
  /** The player's number in this room. */
  readonly member: number;
  /** The session that has it: the same text for the same session only, even if its sessid is reused. */
  readonly session: string;
  readonly user: string;
  /** The offset after which the member may read. */
  readonly start: number;
  /** The highest seq that is durable. */
  readonly received: number;
  /** The `attempt` of the newest Join. */
  readonly attempt: number;
  /** Since when it has had no connection, in ms; null while it has one. */
  readonly heldSinceMs: number | null;
}

/** Where the seats are kept. Every method is synchronous, as SQLite in a Durable Object is. */
export interface SeatStorage {
  loadSeats(): readonly Seat[];
  saveSeat(seat: Seat): void;
  deleteSeat(member: number): void;

  /** The next member's number: 1, 2, 3, ... and none twice in an epoch. */
  takeMemberNumber(): number;
}

/** Reports a change of presence: once each, in order. */
export type OnPresence = (seat: Seat, state: Presence, nowMs: number) => void;

/**
 * The seats of a room. Each change is in the storage before it is reported. The states of a seat are
 *
 *   (none) --joined--> connected --held--> held --resumed--> connected, and from both --left--> (none)
 */
export class RoomSeats {
  readonly #storage: SeatStorage;
  readonly #retentionMs: number;
  readonly #onPresence: OnPresence;
  readonly #byMember = new Map<number, Seat>();
  readonly #bySession = new Map<string, number>();
  /** What the members of held seats had acked when they lost their connection; a restart of the room loses this. */
  readonly #ackedByPlayer = new Map<number, number>();

  constructor(storage: SeatStorage, retentionMs: number, onPresence: OnPresence) {
    this.#storage = storage;
    this.#retentionMs = retentionMs;
    this.#onPresence = onPresence;
    for (const seat of storage.loadSeats()) this.#index(seat);
  }

  get count(): number {
    return this.#byMember.size;
  }

  all(): Seat[] {
    return [...this.#byMember.values()];
  }

  ofMember(member: number): Seat | undefined {
    return this.#byMember.get(member);
  }

  ofSession(session: string): Seat | undefined {
    return this.#byMember.get(this.#bySession.get(session) ?? 0);
  }

  countOfUser(user: string): number {
    let count = 0;
    for (const seat of this.#byMember.values()) if (seat.user === user) count += 1;
    return count;
  }

  /** The highest seq of the member that is durable. */
  receivedOf(member: number): number {
    return this.#byMember.get(member)?.received ?? 0;
  }

  /** The offset above which held seats need the log. */
  get neededOffset(): number {
    let needed = Number.POSITIVE_INFINITY;
    for (const { member, heldSinceMs } of this.#byMember.values()) {
      if (heldSinceMs !== null) needed = Math.min(needed, this.#ackedByPlayer.get(member) ?? 0);
    }
    return needed;
  }

  /** When the first held seat expires. */
  get deadlineMs(): number | undefined {
    let earliest: number | undefined;
    for (const { heldSinceMs } of this.#byMember.values()) {
      if (heldSinceMs === null) continue;
      earliest = Math.min(earliest ?? heldSinceMs + this.#retentionMs, heldSinceMs + this.#retentionMs);
    }
    return earliest;
  }

  /** Creates the seat of a new member, which reads after `start`. */
  create(session: string, user: string, start: number, attempt: number, nowMs: number): Seat {
    const member = this.#storage.takeMemberNumber();
    const seat: Seat = { member, session, user, start, received: 0, attempt, heldSinceMs: null };
    this.#save(seat);
    this.#onPresence(seat, Presence.Joined, nowMs);
    return seat;
  }

  /** Gives the seat to a new connection, which may read after `start` if that is before what the seat could read. */
  connect(seat: Seat, attempt: number, start: number, nowMs: number): Seat {
    this.#ackedByPlayer.delete(seat.member);
    const connected: Seat = { ...seat, attempt, start: Math.min(seat.start, start), heldSinceMs: null };
    this.#save(connected);
    if (seat.heldSinceMs !== null) this.#onPresence(connected, Presence.Resumed, nowMs);
    return connected;
  }

  /** Holds the seat of a member whose connection ended, after it had acked up to `ackedByPlayer`. */
  hold(member: number, ackedByPlayer: number | undefined, nowMs: number): void {
    const seat = this.#byMember.get(member);
    if (seat === undefined || seat.heldSinceMs !== null) return;
    if (ackedByPlayer !== undefined) this.#ackedByPlayer.set(member, ackedByPlayer);
    const held: Seat = { ...seat, heldSinceMs: nowMs };
    this.#save(held);
    this.#onPresence(held, Presence.Held, nowMs);
  }

  /** The messages up to `seq` are durable. */
  receive(seat: Seat, seq: number): void {
    this.#save({ ...seat, received: seq });
  }

  remove(member: number, nowMs: number): Seat | undefined {
    const seat = this.#byMember.get(member);
    if (seat === undefined) return undefined;
    this.#byMember.delete(member);
    this.#ackedByPlayer.delete(member);
    this.#bySession.delete(seat.session);
    this.#storage.deleteSeat(member);
    this.#onPresence(seat, Presence.Left, nowMs);
    return seat;
  }

  /** Removes the seats that were held for the whole retention. */
  expire(nowMs: number): void {
    for (const { member, heldSinceMs } of this.#byMember.values()) {
      if (heldSinceMs !== null && nowMs >= heldSinceMs + this.#retentionMs) this.remove(member, nowMs);
    }
  }

  #save(seat: Seat): void {
    this.#index(seat);
    this.#storage.saveSeat(seat);
  }

  #index(seat: Seat): void {
    this.#byMember.set(seat.member, seat);
    this.#bySession.set(seat.session, seat.member);
  }
}
