import type { HeldMessage, OutboxStorage } from "./webhook-outbox.ts";

/** An outbox in the SQLite of its Durable Object. What is changed without waiting in between is stored as a whole. */
export class OutboxTable implements OutboxStorage {
  readonly #sql: SqlStorage;
  #cursor: string | null;
  #isDisabled: boolean;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS outbox (
      id INTEGER PRIMARY KEY CHECK (id = 0), receiver TEXT NOT NULL DEFAULT '', cursor TEXT, is_disabled INTEGER NOT NULL DEFAULT 0
    )`);
    sql.exec(`CREATE TABLE IF NOT EXISTS held (
      id TEXT NOT NULL UNIQUE, sessid INTEGER, at INTEGER NOT NULL, body TEXT NOT NULL, tries INTEGER NOT NULL, due_at INTEGER NOT NULL
    )`);
    sql.exec("INSERT OR IGNORE INTO outbox (id) VALUES (0)");
    const row = sql.exec<{ cursor: string | null; is_disabled: number }>("SELECT * FROM outbox").one();
    this.#cursor = row.cursor;
    this.#isDisabled = row.is_disabled === 1;
  }

  /** Stores who the receiver is; returns whether it was another one until now. */
  replaceReceiver(receiver: string): boolean {
    return this.#sql.exec("UPDATE outbox SET receiver = ?1 WHERE receiver <> ?1", receiver).rowsWritten > 0;
  }

  get cursor(): string | null {
    return this.#cursor;
  }

  set cursor(position: string | null) {
    this.#cursor = position;
    this.#sql.exec("UPDATE outbox SET cursor = ?", position);
  }

  get isDisabled(): boolean {
    return this.#isDisabled;
  }

  set isDisabled(isDisabled: boolean) {
    this.#isDisabled = isDisabled;
    this.#sql.exec("UPDATE outbox SET is_disabled = ?", isDisabled ? 1 : 0);
  }

  loadHeld(): readonly HeldMessage[] {
    const rows = this.#sql.exec<HeldRow>("SELECT * FROM held ORDER BY rowid");
    return rows.toArray().map(({ due_at: dueAt, ...row }) => ({ ...row, dueAt }));
  }

  hold({ id, sessid, at, body, tries, dueAt }: HeldMessage): void {
    this.#sql.exec(
      `INSERT INTO held (id, sessid, at, body, tries, due_at) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET tries = excluded.tries, due_at = excluded.due_at`,
      ...[id, sessid, at, body, tries, dueAt],
    );
  }

  release(id: string): void {
    this.#sql.exec("DELETE FROM held WHERE id = ?", id);
  }
}

type HeldRow = Omit<HeldMessage, "dueAt"> & { due_at: number };
