import { DEFAULT_GRANTS } from "../../../protocol/session-request.ts";
import type { StoredSession } from "../stored-session.ts";

/** A session to be written; its lifetime begins at `createdAt`. Times are epoch ms. */
export interface NewSession {
  readonly sessid: number;
  readonly user: string | null;
  readonly ip: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly idleMs: number;
  readonly secretHash: string | null;
  /** JSON, null for the default. */
  readonly grantsJson: string | null;
}

/** A live session, with the fields that its lifetime depends on. */
export interface SessionRow extends StoredSession {
  readonly touchedAt: number;
  readonly idleMs: number;
  readonly grantsJson: string | null;
}

/** What is left of a session whose row is gone. `expires` is epoch ms. */
export type RemovedSession = { sessid: number; user: string | null; expires: number };

/**
 * The sessions in SQLite. Expired rows take only space: all but {@link EmbeddedTable.find}, whose caller compares, leave them out.
 *
 * Counts read the indices alone, in a time that grows with the number of sessions (about 10 ms for 10^5). A counter would
 * double the rows that each register and delete writes, and an object is billed by rows.
 */
export class EmbeddedTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS sessions (
        sessid INTEGER PRIMARY KEY, user TEXT, ip TEXT, secret_hash TEXT, grants TEXT,
        created INTEGER NOT NULL, touched INTEGER NOT NULL, expires INTEGER NOT NULL, idle INTEGER NOT NULL
      );
      CREATE INDEX IF NOT EXISTS sessions_by_expires ON sessions (expires);
      CREATE INDEX IF NOT EXISTS sessions_by_user ON sessions (user, expires) WHERE user IS NOT NULL;
    `);
  }

  /** The row under a sessid, of an expired session too. */
  find(sessid: number): SessionRow | null {
    const [row] = this.#sql.exec<Row>("SELECT * FROM sessions WHERE sessid = ?", sessid);
    return row === undefined ? null : parseRow(row);
  }

  /** Writes a session; replaces the row under its sessid, if there is one. */
  put(session: NewSession): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO sessions (sessid, user, ip, secret_hash, grants, created, touched, expires, idle)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      session.sessid,
      session.user,
      session.ip,
      session.secretHash,
      session.grantsJson,
      session.createdAt,
      session.createdAt,
      session.expiresAt,
      session.idleMs,
    );
  }

  /** Moves the expiry as a check at `at` would have, if a touch is due; `intervalMs` and `maxMs` are the policy's. */
  touch(sessid: number, at: number, now: number, intervalMs: number, maxMs: number): void {
    this.#sql.exec(
      `UPDATE sessions SET touched = ?1, expires = MIN(?1 + idle, created + ?2)
       WHERE sessid = ?3 AND expires > ?4 AND MIN(?1 + idle, created + ?2) > expires
         AND (?1 - touched >= ?5 OR (?1 - touched) * 10 >= idle)`,
      at,
      maxMs,
      sessid,
      now,
      intervalMs,
    );
  }

  delete(sessid: number): void {
    this.#sql.exec("DELETE FROM sessions WHERE sessid = ?", sessid);
  }

  /** Removes up to `limit` sessions, whosever they are, and returns them. */
  deleteSome(limit: number): RemovedSession[] {
    return this.#sql
      .exec<RemovedSession>(
        "DELETE FROM sessions WHERE sessid IN (SELECT sessid FROM sessions LIMIT ?) RETURNING sessid, user, expires",
        limit,
      )
      .toArray();
  }

  /** The user's live sessions, the oldest first. */
  listUser(user: string, now: number): SessionRow[] {
    const rows = this.#sql.exec<Row>(
      "SELECT * FROM sessions WHERE user = ? AND expires > ? ORDER BY created, sessid",
      user,
      now,
    );
    return [...rows].map(parseRow);
  }

  countUser(user: string, now: number): number {
    return this.#count("SELECT COUNT(*) AS n FROM sessions WHERE user = ? AND expires > ?", user, now);
  }

  countSessions(now: number): number {
    return this.#count("SELECT COUNT(*) AS n FROM sessions WHERE expires > ?", now);
  }

  /** Distinct users that have a live session. */
  countUsers(now: number): number {
    return this.#count(
      `SELECT COUNT(*) AS n FROM (
         SELECT 1 FROM sessions INDEXED BY sessions_by_user WHERE user IS NOT NULL AND expires > ? GROUP BY user
       )`,
      now,
    );
  }

  /** Removes up to `limit` expired rows and returns them, the session first that expired first. */
  trim(now: number, limit: number): RemovedSession[] {
    return this.#sql
      .exec<RemovedSession>(
        `DELETE FROM sessions
         WHERE sessid IN (SELECT sessid FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)
         RETURNING sessid, user, expires`,
        now,
        limit,
      )
      .toArray()
      .sort((a, b) => a.expires - b.expires);
  }

  #count(query: string, ...bindings: (string | number)[]): number {
    return this.#sql.exec<{ n: number }>(query, ...bindings).one().n;
  }
}

type Row = {
  sessid: number;
  user: string | null;
  ip: string | null;
  secret_hash: string | null;
  grants: string | null;
  created: number;
  touched: number;
  expires: number;
  idle: number;
};

function parseRow(row: Row): SessionRow {
  return {
    session: {
      sessid: row.sessid,
      user: row.user,
      ip: row.ip,
      createdAt: row.created,
      expiresAt: row.expires,
      grants: row.grants === null ? DEFAULT_GRANTS : (JSON.parse(row.grants) as string[]),
    },
    secretHash: row.secret_hash,
    touchedAt: row.touched,
    idleMs: row.idle,
    grantsJson: row.grants,
  };
}
