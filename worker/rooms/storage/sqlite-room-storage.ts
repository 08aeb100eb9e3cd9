import type { LogBounds, LogEntry, LogNeeds, RoomStorage, Seat } from "../../../protocol/reliable/room/room-log.ts";
import { RoomLogTable } from "./room-log-table.ts";
import { RoomRecord } from "./room-record.ts";
import { RoomSeatTable } from "./room-seat-table.ts";

/** A room in its Durable Object's SQLite. A turn's changes are kept together, by {@link SqliteRoomStorage.turn}. */
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

  /** The room that is kept here, undefined if there is none. */
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

  /** Runs a turn: all that it changes is kept or, if it throws, none; then the room's memory is to be thrown away. */
  turn<T>(action: () => T): T {
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
