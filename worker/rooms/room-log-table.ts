import type { Presence } from "../../protocol/player-packets.ts";
import {
  isNeeded,
  type LogBounds,
  type LogEntry,
  type LogNeeds,
  logEntryBytes,
} from "../../protocol/reliable/room/room-log.ts";

/** The columns of a row, and the rows in one INSERT: a Durable Object allows 100 parameters in a statement. */
const COLUMNS = 8;
const INSERT_ROWS = Math.floor(100 / COLUMNS);

/** Rows that a trim reads at once, and deletes in one transaction: more than a transaction can append. */
const TRIM_PAGE_ROWS = 64;
const MAX_TRIM_ROWS = 16_384;

/**
 * The log in SQLite: one row for each entry, whatever the number of members. Each row holds the bytes of the whole log up to
 * itself, so that neither a wake-up nor a trim must add them up. Appended entries are buffered and written when they are read,
 * at the latest at the end of the transaction, many rows in one statement: a statement costs more than its rows.
 */
export class RoomLogTable {
  readonly #sql: SqlStorage;
  #head: number;
  #first: number;
  /** Bytes of all entries up to the newest, and of those that were trimmed. */
  #total = 0;
  #trimmed = 0;
  /** When the oldest entry was appended, epoch ms. */
  #oldestMs = Number.POSITIVE_INFINITY;
  #unwritten: SqlStorageValue[] = [];
  #trimWanted: { readonly bounds: LogBounds; readonly nowMs: number; readonly needs: LogNeeds } | undefined;

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

  /** The lowest offset that is kept, `head + 1` if the log is empty. */
  get first(): number {
    this.write();
    return this.#first;
  }

  /** Bytes of the entries that are kept. */
  get bytes(): number {
    return this.#total - this.#trimmed;
  }

  append(entry: LogEntry): void {
    const total = this.#total + logEntryBytes(entry);
    const isMessage = entry.kind === "message";
    this.#unwritten.push(
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

  /** Writes the buffered entries, and deletes the trimmed ones. */
  write(): void {
    const values = this.#unwritten;
    this.#unwritten = [];
    for (let at = 0; at < values.length; at += INSERT_ROWS * COLUMNS) {
      const part = values.slice(at, at + INSERT_ROWS * COLUMNS);
      this.#sql.exec(insertText(part.length / COLUMNS), ...part);
    }
    if (this.#trimWanted === undefined) return;
    const { bounds, nowMs, needs } = this.#trimWanted;
    this.#trimWanted = undefined;
    this.#deleteBeyond(bounds, nowMs, needs);
  }

  /** The entries above `after` that are visible to the member, in order, at most `limit`. */
  read(after: number, member: number, limit: number): LogEntry[] {
    this.write();
    const rows = this.#sql.exec<Row>(
      `SELECT * FROM log WHERE offset > ?1 AND (recipient = 0 OR recipient = ?2 OR sender = ?2)
       ORDER BY offset LIMIT ?3`,
      after,
      member,
      limit,
    );
    return rows.toArray().map(parseEntry);
  }

  /** The offset before the last `messages` messages to everybody; before the oldest entry if there are fewer. */
  historyStart(messages: number): number {
    if (messages === 0) return this.#head;
    this.write();
    const [start] = this.#sql.exec<{ offset: number }>(
      "SELECT offset FROM log WHERE state IS NULL AND recipient = 0 ORDER BY offset DESC LIMIT 1 OFFSET ?",
      messages - 1,
    );
    return (start?.offset ?? this.#first) - 1;
  }

  /** Asks {@link write} to delete the oldest entries until the log is within its bounds or the next one is needed. */
  trim(bounds: LogBounds, nowMs: number, needs: () => LogNeeds): void {
    if (this.#isBeyond(bounds, nowMs)) this.#trimWanted = { bounds, nowMs, needs: needs() };
  }

  #deleteBeyond(bounds: LogBounds, nowMs: number, needs: LogNeeds): void {
    const mayDelete = () =>
      this.#isBeyond(bounds, nowMs) &&
      !isNeeded({ offset: this.#first, atMs: this.#oldestMs }, this.bytes, bounds, needs, nowMs);
    const before = this.#first;
    while (mayDelete() && this.#first - before < MAX_TRIM_ROWS) {
      const oldest = this.#sql.exec<{ total: number; next: number | null }>(
        `SELECT log.total, newer.at AS next FROM log LEFT JOIN log AS newer ON newer.offset = log.offset + 1
         WHERE log.offset >= ? ORDER BY log.offset LIMIT ?`,
        this.#first,
        TRIM_PAGE_ROWS,
      );
      for (const { total, next } of oldest.toArray()) {
        if (!mayDelete()) break;
        this.#trimmed = total;
        this.#first += 1;
        this.#oldestMs = next ?? Number.POSITIVE_INFINITY;
      }
    }
    if (this.#first === before) return;
    // Without a row, the room's record must hold the highest offset.
    if (this.#first > this.#head) this.#sql.exec("UPDATE room SET head = ?", this.#head);
    this.#sql.exec("DELETE FROM log WHERE offset < ?", this.#first);
  }

  #isBeyond({ maxEntries, maxBytes, maxAgeMs }: LogBounds, nowMs: number): boolean {
    const entries = this.#head - this.#first + 1;
    return entries > maxEntries || this.#total - this.#trimmed > maxBytes || this.#oldestMs < nowMs - maxAgeMs;
  }
}

function insertText(rows: number): string {
  const row = `(${Array(COLUMNS).fill("?").join(", ")})`;
  return `INSERT INTO log (offset, at, total, sender, recipient, state, user, body) VALUES ${Array(rows).fill(row).join(", ")}`;
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
