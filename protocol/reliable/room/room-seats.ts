import { Presence } from "../../player-packets.ts";
import type { RoomStorage, Seat } from "./room-log.ts";

/** Tells a change of presence: once each, in order. */
export type OnPresence = (seat: Seat, state: Presence, nowMs: number) => void;

/**
 * The members of a room. Each change is in the storage before it is told. A seat goes
 *
 *   (none) --joined--> connected --held--> held --resumed--> connected, and from both --left--> (none)
 */
export class RoomSeats {
  readonly #storage: RoomStorage;
  readonly #retentionMs: number;
  readonly #onPresence: OnPresence;
  readonly #byMember = new Map<number, Seat>();
  readonly #bySession = new Map<string, number>();
  /** What the members whose seats are held had acknowledged; of those that this memory has not seen, nothing is known. */
  readonly #acknowledged = new Map<number, number>();

  constructor(storage: RoomStorage, retentionMs: number, onPresence: OnPresence) {
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

  /** Above which offset held seats need the log. */
  get neededOffset(): number {
    let needed = Number.POSITIVE_INFINITY;
    for (const { member, heldSinceMs } of this.#byMember.values()) {
      if (heldSinceMs !== null) needed = Math.min(needed, this.#acknowledged.get(member) ?? 0);
    }
    return needed;
  }

  /** When the first held seat is to be given up. */
  get deadlineMs(): number | undefined {
    let earliest: number | undefined;
    for (const { heldSinceMs } of this.#byMember.values()) {
      if (heldSinceMs === null) continue;
      earliest = Math.min(earliest ?? heldSinceMs + this.#retentionMs, heldSinceMs + this.#retentionMs);
    }
    return earliest;
  }

  /** A new member, which reads after `start`. */
  create(session: string, user: string, start: number, attempt: number, nowMs: number): Seat {
    const member = this.#storage.takeMemberNumber();
    const seat: Seat = { member, session, user, start, received: 0, attempt, heldSinceMs: null };
    this.#save(seat);
    this.#onPresence(seat, Presence.Joined, nowMs);
    return seat;
  }

  /** A connection takes the seat. A fresh one may read from `start` on, if that is before what it could. */
  connect(seat: Seat, attempt: number, start: number, nowMs: number): Seat {
    this.#acknowledged.delete(seat.member);
    const connected: Seat = { ...seat, attempt, start: Math.min(seat.start, start), heldSinceMs: null };
    this.#save(connected);
    if (seat.heldSinceMs !== null) this.#onPresence(connected, Presence.Resumed, nowMs);
    return connected;
  }

  /** The seat's connection is lost, which had acknowledged so much. */
  hold(member: number, acknowledged: number | undefined, nowMs: number): void {
    const seat = this.#byMember.get(member);
    if (seat === undefined || seat.heldSinceMs !== null) return;
    if (acknowledged !== undefined) this.#acknowledged.set(member, acknowledged);
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
    this.#acknowledged.delete(member);
    this.#bySession.delete(seat.session);
    this.#storage.deleteSeat(member);
    this.#onPresence(seat, Presence.Left, nowMs);
    return seat;
  }

  /** Gives up the seats that were held for their whole retention. */
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
