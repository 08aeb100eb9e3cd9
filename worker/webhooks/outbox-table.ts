import type { HeldMessage, OutboxState, OutboxStorage } from "./webhook-outbox.ts";

/** An outbox in the SQLite of its Durable Object. What is changed without waiting in between is stored as a whole. */
export class OutboxTable implements OutboxStorage {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS outbox (
      id INTEGER PRIMARY KEY CHECK (id = 0), receiver TEXT NOT NULL DEFAULT '', state TEXT NOT NULL DEFAULT 'null'
    )`);
    sql.exec(`CREATE TABLE IF NOT EXISTS held (
      id TEXT NOT NULL UNIQUE, sessid INTEGER, at INTEGER NOT NULL, body TEXT NOT NULL,
      tries INTEGER NOT NULL, due_at INTEGER NOT NULL, may_hurry INTEGER NOT NULL
    )`);
    sql.exec("INSERT OR IGNORE INTO outbox (id) VALUES (0)");
  }

  /** Stores who the receiver is; returns whether it was another one until now. */
  replaceReceiver(receiver: string): boolean {
    return this.#sql.exec("UPDATE outbox SET receiver = ?1 WHERE receiver <> ?1", receiver).rowsWritten > 0;
  }

  load(): OutboxState | undefined {
    const { state } = this.#sql.exec<{ state: string }>("SELECT state FROM outbox").one();
    return (JSON.parse(state) as OutboxState | null) ?? undefined;
  }

  save(state: OutboxState): void {
    this.#sql.exec("UPDATE outbox SET state = ?", JSON.stringify(state));
  }

  loadHeld(): readonly HeldMessage[] {
    const rows = this.#sql.exec<HeldRow>("SELECT * FROM held ORDER BY rowid").toArray();
    return rows.map(({ due_at: dueAt, may_hurry: mayHurry, ...row }) => ({ ...row, dueAt, mayHurry: mayHurry === 1 }));
  }

  hold({ id, sessid, at, body, tries, dueAt, mayHurry }: HeldMessage): void {
    this.#sql.exec(
      `INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET tries = excluded.tries, due_at = excluded.due_at, may_hurry = excluded.may_hurry`,
      ...[id, sessid, at, body, tries, dueAt, mayHurry ? 1 : 0],
    );
  }

  release(id: string): void {
    this.#sql.exec("DELETE FROM held WHERE id = ?", id);
  }
}

type HeldRow = Omit<HeldMessage, "dueAt" | "mayHurry"> & { due_at: number; may_hurry: number };
