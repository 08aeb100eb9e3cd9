import type { RoomStorage } from "../../protocol/reliable/room/room-core.ts";
import type { LogBounds, LogEntry, LogNeeds } from "../../protocol/reliable/room/room-log.ts";
import type { Seat } from "../../protocol/reliable/room/room-seats.ts";
import { RoomLogTable } from "./room-log-table.ts";

/**
 * A room in the SQLite of its Durable Object: one row about the room, the seats, and the log (room-log-table.ts). Changes are
 * made within {@link SqliteRoomStorage.transaction}.
 */
export class SqliteRoomStorage implements RoomStorage {
  readonly record: RoomRecord;
  readonly #storage: DurableObjectStorage;
  readonly #log: RoomLogTable;
  readonly #seats: RoomSeatTable;

  private constructor(storage: DurableObjectStorage, record: RoomRecord) {
    this.record = record;
    this.#storage = storage;
    this.#log = new RoomLogTable(storage.sql);
    this.#seats = new RoomSeatTable(storage.sql);
  }

  /** The room that is stored here, undefined if there is none. */
  static find(storage: DurableObjectStorage): SqliteRoomStorage | undefined {
    const record = RoomRecord.find(storage.sql);
    return record && new SqliteRoomStorage(storage, record);
  }

  static create(storage: DurableObjectStorage, name: string, nowMs: number): SqliteRoomStorage {
    return storage.transactionSync(() => new SqliteRoomStorage(storage, RoomRecord.create(storage.sql, name, nowMs)));
  }

  get epoch(): number {
    return this.record.epoch;
  }

  get head(): number {
    return this.#log.head;
  }

  get first(): number {
    return this.#log.first;
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  /** Runs a transaction. If `action` throws, none of its changes are stored, and the room's memory must be discarded. */
  transaction<T>(action: () => T): T {
    return this.#storage.transactionSync(() => {
      const result = action();
      this.#log.write();
      this.#seats.write();
      return result;
    });
  }

  append(entry: LogEntry): void {
    this.#log.append(entry);
  }

  read(after: number, member: number, limit: number): readonly LogEntry[] {
    return this.#log.read(after, member, limit);
  }

  historyStart(messages: number): number {
    return this.#log.historyStart(messages);
  }

  trim(bounds: LogBounds, nowMs: number, needs: () => LogNeeds): void {
    this.#log.trim(bounds, nowMs, needs);
  }

  loadSeats(): readonly Seat[] {
    return this.#seats.load();
  }

  saveSeat(seat: Seat): void {
    this.#seats.save(seat);
  }

  deleteSeat(member: number): void {
    this.#seats.delete(member);
  }

  takeMemberNumber(): number {
    return this.record.takeMemberNumber();
  }
}

/** The row about the room: its name, the incarnation of its log, and the times that its alarm needs. */
export class RoomRecord {
  readonly name: string;
  readonly epoch: number;
  readonly #sql: SqlStorage;
  #recheckAtMs: number;
  #emptySinceMs: number | null;

  private constructor(sql: SqlStorage, { name, epoch, recheck_at, empty_since }: RecordRow) {
    this.#sql = sql;
    this.name = name;
    this.epoch = epoch;
    this.#recheckAtMs = recheck_at;
    this.#emptySinceMs = empty_since;
  }

  /** The record of the room that is stored here, undefined if there is none. It only reads. */
  static find(sql: SqlStorage): RoomRecord | undefined {
    const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'room'");
    if (table === undefined) return undefined;
    const [row] = sql.exec<RecordRow>("SELECT name, epoch, recheck_at, empty_since FROM room");
    return row && new RoomRecord(sql, row);
  }

  /** Creates the record of a new room, with a random epoch: offsets of an earlier log are not valid in it. */
  static create(sql: SqlStorage, name: string, nowMs: number): RoomRecord {
    sql.exec(`
      CREATE TABLE IF NOT EXISTS room (
        id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, epoch INTEGER NOT NULL,
        head INTEGER NOT NULL, members INTEGER NOT NULL, recheck_at INTEGER NOT NULL, empty_since INTEGER
      )
    `);
    const row: RecordRow = { name, epoch: randomEpoch(), recheck_at: nowMs, empty_since: nowMs };
    sql.exec(
      "INSERT INTO room (id, name, epoch, head, members, recheck_at, empty_since) VALUES (1, ?, ?, 0, 0, ?, ?)",
      row.name,
      row.epoch,
      row.recheck_at,
      row.empty_since,
    );
    return new RoomRecord(sql, row);
  }

  /** When the members' sessions must be checked again, epoch ms. */
  get recheckAtMs(): number {
    return this.#recheckAtMs;
  }

  set recheckAtMs(at: number) {
    this.#recheckAtMs = at;
    this.#sql.exec("UPDATE room SET recheck_at = ?", at);
  }

  /** Since when the room has been empty, epoch ms; null while somebody is there. */
  get emptySinceMs(): number | null {
    return this.#emptySinceMs;
  }

  set emptySinceMs(since: number | null) {
    if (since === this.#emptySinceMs) return;
    this.#emptySinceMs = since;
    this.#sql.exec("UPDATE room SET empty_since = ?", since);
  }

  /** The next member's number: 1, 2, 3, ... and none twice. */
  takeMemberNumber(): number {
    return this.#sql.exec<{ members: number }>("UPDATE room SET members = members + 1 RETURNING members").one().members;
  }
}

type RecordRow = { name: string; epoch: number; recheck_at: number; empty_since: number | null };

/** 1..2^53-1: a u64 of the wire may hold no more. */
function randomEpoch(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high % 2 ** 21) * 2 ** 32 + low || 1;
}

/** The seats in SQLite. A transaction may save a seat many times; it is written once, at the end. */
class RoomSeatTable {
  readonly #sql: SqlStorage;
  readonly #unwritten = new Map<number, Seat>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS seats (
        member INTEGER PRIMARY KEY, session TEXT NOT NULL, user TEXT NOT NULL, start INTEGER NOT NULL,
        received INTEGER NOT NULL, attempt INTEGER NOT NULL, held_since INTEGER
      )
    `);
  }

  load(): Seat[] {
    return this.#sql
      .exec<SeatRow>("SELECT * FROM seats ORDER BY member")
      .toArray()
      .map(({ held_since, ...seat }) => ({ ...seat, heldSinceMs: held_since }));
  }

  save(seat: Seat): void {
    this.#unwritten.set(seat.member, seat);
  }

  delete(member: number): void {
    this.#unwritten.delete(member);
    this.#sql.exec("DELETE FROM seats WHERE member = ?", member);
  }

  /** Writes the seats that were saved. */
  write(): void {
    for (const seat of this.#unwritten.values()) {
      this.#sql.exec(
        `INSERT OR REPLACE INTO seats (member, session, user, start, received, attempt, held_since)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        seat.member,
        seat.session,
        seat.user,
        seat.start,
        seat.received,
        seat.attempt,
        seat.heldSinceMs,
      );
    }
    this.#unwritten.clear();
  }
}

type SeatRow = {
  member: number;
  session: string;
  user: string;
  start: number;
  received: number;
  attempt: number;
  held_since: number | null;
};
