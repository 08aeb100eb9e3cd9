import type { Seat } from "../../../protocol/reliable/room/room-log.ts";

/** The members in SQLite. What a turn saves of a seat again and again is written once, at its end. */
export class RoomSeatTable {
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
      .exec<Row>("SELECT * FROM seats ORDER BY member")
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

  /** Writes what was saved. */
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

type Row = {
  member: number;
  session: string;
  user: string;
  start: number;
  received: number;
  attempt: number;
  held_since: number | null;
};
