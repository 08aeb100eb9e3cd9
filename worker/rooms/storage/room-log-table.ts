import type { Presence } from "../../../protocol/player-packet.ts";
import { type LogBounds, type LogEntry, logEntryBytes } from "../../../protocol/reliable/room-storage.ts";

/**
 * The log in SQLite: one row an entry, whatever the number of members. Each row knows the bytes of the whole log up to
 * itself, so that neither a wake-up nor a trim has to add them up.
 */
export class RoomLogTable {
  readonly #sql: SqlStorage;
  #head: number;
  #first: number;
  /** Bytes of all entries up to the newest, and of those before the oldest that is kept. */
  #total = 0;
  #trimmed = 0;
  /** When the oldest entry was made, epoch ms. */
  #oldestMs = Number.POSITIVE_INFINITY;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS log (
        offset INTEGER PRIMARY KEY, at INTEGER NOT NULL, total INTEGER NOT NULL,
        sender INTEGER NOT NULL, recipient INTEGER NOT NULL, state INTEGER, user TEXT, body BLOB
      )
    `);
    const [newest] = sql.exec<Row>("SELECT * FROM log ORDER BY offset DESC LIMIT 1");
    const [oldest] = sql.exec<Row>("SELECT * FROM log ORDER BY offset LIMIT 1");
    this.#head = newest?.offset ?? sql.exec<{ head: number }>("SELECT head FROM room").one().head;
    this.#first = oldest?.offset ?? this.#head + 1;
    if (newest === undefined || oldest === undefined) return;
    this.#total = newest.total;
    this.#trimmed = oldest.total - logEntryBytes(parseEntry(oldest));
    this.#oldestMs = oldest.at;
  }

  /** The highest offset ever given. */
  get head(): number {
    return this.#head;
  }

  /** The lowest offset that is kept, `head + 1` if none is. */
  get first(): number {
    return this.#first;
  }

  append(entry: LogEntry): void {
    const total = this.#total + logEntryBytes(entry);
    const isMessage = entry.kind === "message";
    this.#sql.exec(
      "INSERT INTO log (offset, at, total, sender, recipient, state, user, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      entry.offset,
      entry.atMs,
      total,
      isMessage ? entry.from : entry.member,
      isMessage ? entry.to : 0,
      isMessage ? null : entry.state,
      isMessage ? null : entry.user,
      isMessage ? entry.body.slice().buffer : null,
    );
    this.#total = total;
    this.#head = entry.offset;
    this.#oldestMs = Math.min(this.#oldestMs, entry.atMs);
  }

  /** The entries above `after` that the member gets, in order, at most `limit`. */
  read(after: number, member: number, limit: number): LogEntry[] {
    const rows = this.#sql.exec<Row>(
      `SELECT * FROM log WHERE offset > ?1 AND (recipient = 0 OR recipient = ?2 OR sender = ?2)
       ORDER BY offset LIMIT ?3`,
      after,
      member,
      limit,
    );
    return rows.toArray().map(parseEntry);
  }

  /** The offset after which the last `messages` messages to everybody begin; before the oldest if they are fewer. */
  historyStart(messages: number): number {
    if (messages === 0) return this.#head;
    const [start] = this.#sql.exec<{ offset: number }>(
      "SELECT offset FROM log WHERE state IS NULL AND recipient = 0 ORDER BY offset DESC LIMIT 1 OFFSET ?",
      messages - 1,
    );
    return (start?.offset ?? this.#first) - 1;
  }

  /** Deletes the oldest entries until the log is within its bounds. */
  trim(bounds: LogBounds, nowMs: number): void {
    if (!this.#isBeyond(bounds, nowMs)) return;
    do {
      const { total } = this.#sql.exec<Row>("SELECT total FROM log WHERE offset = ?", this.#first).one();
      this.#trimmed = total;
      this.#first += 1;
      const [next] = this.#sql.exec<Row>("SELECT at FROM log WHERE offset = ?", this.#first);
      this.#oldestMs = next?.at ?? Number.POSITIVE_INFINITY;
    } while (this.#isBeyond(bounds, nowMs));
    // The last row would take its offset with it.
    if (this.#first > this.#head) this.#sql.exec("UPDATE room SET head = ?", this.#head);
    this.#sql.exec("DELETE FROM log WHERE offset < ?", this.#first);
  }

  #isBeyond({ maxEntries, maxBytes, maxAgeMs }: LogBounds, nowMs: number): boolean {
    const entries = this.#head - this.#first + 1;
    return entries > maxEntries || this.#total - this.#trimmed > maxBytes || this.#oldestMs < nowMs - maxAgeMs;
  }
}

type Row = {
  offset: number;
  at: number;
  total: number;
  sender: number;
  recipient: number;
  /** Of a presence; null for a message. */
  state: Presence | null;
  user: string | null;
  body: ArrayBuffer | null;
};

function parseEntry({ offset, at: atMs, sender, recipient, state, user, body }: Row): LogEntry {
  if (state !== null) return { kind: "presence", offset, member: sender, state, user: user ?? "", atMs };
  return { kind: "message", offset, from: sender, to: recipient, body: new Uint8Array(body ?? []), atMs };
}
