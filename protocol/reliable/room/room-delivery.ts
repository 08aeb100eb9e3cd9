import { Presence } from "../../player-packets.ts";
import type { RoomConnection } from "./room-connections.ts";
import type { RoomLimits } from "./room-limits.ts";
import { DeliveryRun, isVisibleTo, type LogEntry, type RoomStorage } from "./room-log.ts";
import type { RoomSeats } from "./room-seats.ts";

/** Entries read at once for a replay, at most. */
const REPLAY_PAGE_ENTRIES = 32;

/**
 * Brings the log to the members' connections. A connection that joined is replayed what it has not got, as fast as it
 * acknowledges; the room's first Ack ends that; from then on it is live, and gets each entry when it is appended. One that
 * falls too far behind with its Acks is paced: it gets the rest from the log, as in a replay, until it has caught up.
 */
export class RoomDelivery {
  readonly #storage: RoomStorage;
  readonly #seats: RoomSeats;
  readonly #limits: RoomLimits;
  /** What this turn has for everybody. */
  #run: DeliveryRun | undefined;

  constructor(storage: RoomStorage, seats: RoomSeats, limits: RoomLimits) {
    this.#storage = storage;
    this.#seats = seats;
    this.#limits = limits;
  }

  /** Sends more of the log, as much as may be unacknowledged, and the Ack when all of it is sent for the first time. */
  replay(connection: RoomConnection, member: number): void {
    while (!connection.live) {
      this.#skipTrimmed(connection);
      const limit = this.#pageEntries(connection);
      const page = this.#storage.read(connection.sent, member, limit);
      const run = new DeliveryRun();
      connection.changed = true;
      for (const entry of page) {
        if (connection.unacked.bytes >= this.#limits.replayWindowBytes) return;
        this.#send(connection, entry.offset, run, run.add(entry));
      }
      if (page.length < limit || connection.sent === this.#storage.head) this.#endReplay(connection, member);
    }
  }

  /** Sends an entry that was just appended; to who is too far behind it is not sent before that has caught up. */
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

  /** Above which offset the log is needed, by members with a connection. */
  neededByConnected(connections: Iterable<RoomConnection>): number {
    let needed = Number.POSITIVE_INFINITY;
    for (const connection of connections) {
      if (connection.member !== undefined) needed = Math.min(needed, connection.ackedByPlayer);
    }
    return needed;
  }

  /** The player has everything up to `position`, which may be more than this connection has carried. */
  acknowledge(connection: RoomConnection, member: number, position: number, nowMs: number): void {
    if (position <= connection.ackedByPlayer) return;
    connection.ackedByPlayer = position;
    connection.unacked.acknowledge(position);
    connection.progressMs = nowMs;
    connection.changed = true;
    if (connection.live) return;
    connection.sent = Math.max(connection.sent, position);
    // Each reading of the log is to be worth it, however small the Acks are.
    if (connection.unacked.bytes <= this.#limits.replayWindowBytes / 2) this.replay(connection, member);
  }

  /** Tells who is there. */
  tellMembers(connection: RoomConnection): void {
    for (const { member, user } of this.#seats.all()) {
      connection.outbox.add({ kind: "presence", offset: 0, member, state: Presence.Joined, user });
    }
  }

  /** Counts again what a connection that outlived the room's memory has not acknowledged. */
  recount(connection: RoomConnection, member: number): void {
    for (let after = connection.ackedByPlayer; after < connection.sent; ) {
      const page = this.#storage.read(after, member, REPLAY_PAGE_ENTRIES);
      const run = new DeliveryRun();
      for (const entry of page) {
        if (entry.offset <= connection.sent) connection.unacked.add(run.places, run.add(entry));
      }
      after = page.length < REPLAY_PAGE_ENTRIES ? connection.sent : (page.at(-1)?.offset ?? connection.sent);
    }
  }

  /** What the turn broadcast is sent. */
  endTurn(): void {
    this.#run = undefined;
  }

  /** What is for one member has a run of its own: it would hold what all others get for as long as that one does not read. */
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
    if (from >= this.#storage.first) return;
    const to = this.#storage.first - 1;
    connection.outbox.add({ kind: "gap", from, to });
    connection.sent = to;
    this.tellMembers(connection);
  }

  /** As many entries as fit, by the log's average: what is read and does not fit is read again. */
  #pageEntries({ unacked }: RoomConnection): number {
    const { head, first, bytes } = this.#storage;
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
    connection.sent = this.#storage.head;
    connection.live = true;
    if (connection.established) return;
    connection.established = true;
    this.confirm(connection, member);
  }

  /** Acknowledges everything that is durable. */
  confirm(connection: RoomConnection, member: number): void {
    const position = this.#seats.ofMember(member)?.received ?? 0;
    connection.outbox.add({ kind: "ack", position });
    connection.ackedToPlayer = position;
    connection.changed = true;
    connection.acks.reset();
  }
}
