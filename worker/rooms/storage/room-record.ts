/** The one row that makes a room: its name, the incarnation of its log, and what its alarm must remember. */
export class RoomRecord {
  readonly name: string;
  readonly epoch: number;
  readonly #sql: SqlStorage;
  #recheckAtMs: number;
  #emptySinceMs: number | null;

  private constructor(sql: SqlStorage, { name, epoch, recheck_at, empty_since }: Row) {
    this.#sql = sql;
    this.name = name;
    this.epoch = epoch;
    this.#recheckAtMs = recheck_at;
    this.#emptySinceMs = empty_since;
  }

  /** The record of a room that is kept, undefined if there is none. Reads only. */
  static find(sql: SqlStorage): RoomRecord | undefined {
    const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'room'");
    if (table === undefined) return undefined;
    const [row] = sql.exec<Row>("SELECT name, epoch, recheck_at, empty_since FROM room");
    return row && new RoomRecord(sql, row);
  }

  /** Begins a room: its epoch is a new random number, so that no offset of an earlier log means anything in it. */
  static create(sql: SqlStorage, name: string, nowMs: number): RoomRecord {
    sql.exec(`
      CREATE TABLE IF NOT EXISTS room (
        id INTEGER PRIMARY KEY CHECK (id = 1), name TEXT NOT NULL, epoch INTEGER NOT NULL,
        head INTEGER NOT NULL, members INTEGER NOT NULL, recheck_at INTEGER NOT NULL, empty_since INTEGER
      )
    `);
    const row: Row = { name, epoch: randomEpoch(), recheck_at: nowMs, empty_since: nowMs };
    sql.exec(
      "INSERT INTO room (id, name, epoch, head, members, recheck_at, empty_since) VALUES (1, ?, ?, 0, 0, ?, ?)",
      row.name,
      row.epoch,
      row.recheck_at,
      row.empty_since,
    );
    return new RoomRecord(sql, row);
  }

  /** When the members' sessions are to be checked again, epoch ms. */
  get recheckAtMs(): number {
    return this.#recheckAtMs;
  }

  set recheckAtMs(at: number) {
    this.#recheckAtMs = at;
    this.#sql.exec("UPDATE room SET recheck_at = ?", at);
  }

  /** Since when nobody is in the room, epoch ms; null while somebody is. */
  get emptySinceMs(): number | null {
    return this.#emptySinceMs;
  }

  set emptySinceMs(since: number | null) {
    if (since === this.#emptySinceMs) return;
    this.#emptySinceMs = since;
    this.#sql.exec("UPDATE room SET empty_since = ?", since);
  }

  /** 1, 2, 3, ... and none twice. */
  takeMemberNumber(): number {
    return this.#sql.exec<{ members: number }>("UPDATE room SET members = members + 1 RETURNING members").one().members;
  }
}

type Row = { name: string; epoch: number; recheck_at: number; empty_since: number | null };

/** 1..2^53-1, what a u64 of the wire carries. */
function randomEpoch(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high % 2 ** 21) * 2 ** 32 + low || 1;
}
