import { Presence } from "../../player-packets.ts";
import type { RoomConnection } from "./room-connections.ts";
import type { RoomLimits } from "./room-limits.ts";
import { DeliveryRun, isVisibleTo, type LogEntry, type LogStorage } from "./room-log.ts";
import type { RoomSeats } from "./room-seats.ts";

/** Entries in one page of a replay, at most. */
const REPLAY_PAGE_ENTRIES = 32;

/**
 * Sends the log to the members' connections. A connection that joined first gets a replay of what it missed, as fast as it
 * acks. The room's first Ack ends the replay; then the connection is live and gets each entry when it is appended. A live
 * connection that falls too far behind with its Acks is paced: it gets the rest from the log, as in a replay, until it
 * has caught up.
 */
export class RoomDelivery {
  readonly #log: LogStorage;
  readonly #seats: RoomSeats;
  readonly #limits: RoomLimits;
  /** What the current transaction appended for everybody. */
  #run: DeliveryRun | undefined;

  constructor(log: LogStorage, seats: RoomSeats, limits: RoomLimits) {
    this.#log = log;
    this.#seats = seats;
    this.#limits = limits;
  }

  /** Sends an entry that was just appended. A connection that is too far behind is paced instead. */
  broadcast(entry: LogEntry, connections: Iterable<RoomConnection>): void {
    const run = this.#runFor(entry);
    const index = run.add(entry);
    for (const connection of connections) {
      if (!connection.live || connection.member === undefined) continue;
      if (!isVisibleTo(entry, connection.member)) connection.sent = entry.offset;
      else if (connection.unacked.bytes < this.#limits.liveWindowBytes)
        this.#send(connection, entry.offset, run, index);
      else this.#pace(connection, entry.atMs);
    }
  }

  /** The transaction has ended: the next one begins a new run. */
  endTransaction(): void {
    this.#run = undefined;
  }

  /** Sends more of the log, as much as may be unacked. After the last entry of the first replay it sends the Ack. */
  replay(connection: RoomConnection, member: number): void {
    while (!connection.live) {
      this.#skipTrimmed(connection);
      const limit = this.#pageEntries(connection);
      const page = this.#log.read(connection.sent, member, limit);
      const run = new DeliveryRun();
      connection.changed = true;
      for (const entry of page) {
        if (connection.unacked.bytes >= this.#limits.replayWindowBytes) return;
        this.#send(connection, entry.offset, run, run.add(entry));
      }
      if (page.length < limit || connection.sent === this.#log.head) this.#endReplay(connection, member);
    }
  }

  /** The player acked everything up to `position`, which may be more than this connection has carried. */
  acked(connection: RoomConnection, member: number, position: number, nowMs: number): void {
    if (position <= connection.ackedByPlayer) return;
    connection.ackedByPlayer = position;
    connection.unacked.ack(position);
    connection.progressMs = nowMs;
    connection.changed = true;
    if (connection.live) return;
    connection.sent = Math.max(connection.sent, position);
    // Small Acks must not cause a read of the log each.
    if (connection.unacked.bytes <= this.#limits.replayWindowBytes / 2) this.replay(connection, member);
  }

  /** Tells a connection who has a seat. */
  sendMembers(connection: RoomConnection): void {
    for (const { member, user } of this.#seats.all()) {
      connection.outbox.add({ kind: "presence", offset: 0, member, state: Presence.Joined, user });
    }
  }

  /** Counts again what a connection has not acked, after the room's memory was lost. */
  recount(connection: RoomConnection, member: number): void {
    for (let after = connection.ackedByPlayer; after < connection.sent; ) {
      const page = this.#log.read(after, member, REPLAY_PAGE_ENTRIES);
      const run = new DeliveryRun();
      for (const entry of page) {
        if (entry.offset <= connection.sent) connection.unacked.add(run.places, run.add(entry));
      }
      after = page.length < REPLAY_PAGE_ENTRIES ? connection.sent : (page.at(-1)?.offset ?? connection.sent);
    }
  }

  /** A message to one member has its own run: a member that does not read would hold the memory of the shared one. */
  #runFor(entry: LogEntry): DeliveryRun {
    if (entry.kind === "message" && entry.to !== 0) return new DeliveryRun();
    this.#run ??= new DeliveryRun();
    return this.#run;
  }

  #send(connection: RoomConnection, offset: number, run: DeliveryRun, index: number): void {
    connection.sent = offset;
    if (offset <= connection.ackedByPlayer) return;
    connection.outbox.addDelivery(run, index);
    connection.unacked.add(run.places, index);
  }

  #skipTrimmed(connection: RoomConnection): void {
    const from = connection.sent + 1;
    if (from >= this.#log.first) return;
    const to = this.#log.first - 1;
    connection.outbox.add({ kind: "gap", from, to });
    connection.sent = to;
    this.sendMembers(connection);
  }

  /** As many entries as fit, estimated from the average size: an entry that does not fit must be read again later. */
  #pageEntries({ unacked }: RoomConnection): number {
    const { head, first, bytes } = this.#log;
    const average = bytes / Math.max(1, head + 1 - first);
    const fitting = Math.ceil((this.#limits.replayWindowBytes - unacked.bytes) / Math.max(1, average));
    return Math.min(REPLAY_PAGE_ENTRIES, Math.max(1, fitting));
  }

  #pace(connection: RoomConnection, nowMs: number): void {
    connection.live = false;
    connection.progressMs = nowMs;
    connection.changed = true;
  }

  #endReplay(connection: RoomConnection, member: number): void {
    connection.sent = this.#log.head;
    connection.live = true;
    if (connection.established) return;
    connection.established = true;
    connection.ack(this.#seats.receivedOf(member));
  }
}
