/** A browser account. Times are epoch milliseconds. */
export interface Account {
  readonly name: string;
  /** PHC string (password-hasher/password.ts). */
  readonly passwordHash: string;
  readonly createdAt: number;
  /** null before the first login. */
  readonly lastLoginAt: number | null;
  /** What its sessions may enter; null is what WEB_GRANTS says. */
  readonly grants: readonly string[] | null;
  /** Whether nobody can log in with it. */
  readonly disabled: boolean;
  /** Another one after each change of the password, the grants or `disabled`. */
  readonly revision: number;
}

/** What an operator may change of an account; what is absent stays. */
export interface AccountRights {
  readonly grants?: readonly string[] | null;
  readonly disabled?: boolean;
}

/** The accounts in D1 (migrations/). Its methods reject when the database does not answer. */
export class Accounts {
  readonly #database: D1Database;

  constructor(database: D1Database) {
    this.#database = database;
  }

  /** The account of this name, in the spelling of account-rules.ts. */
  async find(name: string): Promise<Account | null> {
    return parseRow(await this.#database.prepare("SELECT * FROM accounts WHERE name = ?").bind(name).first<Row>());
  }

  /** Up to `limit` accounts in the order of their names, those behind the name `after`. */
  async list(after: string, limit: number): Promise<Account[]> {
    const { results } = await this.#database
      .prepare("SELECT * FROM accounts WHERE name > ? ORDER BY name LIMIT ?")
      .bind(after, limit)
      .all<Row>();
    return results.flatMap((row) => parseRow(row) ?? []);
  }

  /** Creates the account; null if somebody has the name already. */
  async create(
    name: string,
    passwordHash: string,
    now: number,
    grants: readonly string[] | null = null,
  ): Promise<Account | null> {
    const row = await this.#database
      .prepare(
        `INSERT INTO accounts (name, password_hash, created_at, grants) VALUES (?, ?, ?, ?)
         ON CONFLICT DO NOTHING RETURNING *`,
      )
      .bind(name, passwordHash, now, grantsText(grants))
      .first<Row>();
    return parseRow(row);
  }

  /**
   * Notes a login, unless the account was changed, disabled or deleted since it was read: then false. With `newHash` the
   * password's hash is replaced, unless another login did so meanwhile.
   */
  async recordLogin({ name, passwordHash, createdAt, revision }: Account, now: number, newHash?: string) {
    const { meta } = await this.#database
      .prepare(
        `UPDATE accounts SET last_login_at = ?1, password_hash = iif(password_hash = ?2, ?3, password_hash)
         WHERE name = ?4 AND created_at = ?5 AND revision = ?6 AND disabled = 0`,
      )
      .bind(now, passwordHash, newHash ?? passwordHash, name, createdAt, revision)
      .run();
    return meta.changes === 1;
  }

  /** Replaces the password; null if the account was changed, disabled or deleted since it was read. */
  async changePassword({ name, createdAt, revision }: Account, newHash: string): Promise<Account | null> {
    const row = await this.#database
      .prepare(
        `UPDATE accounts SET password_hash = ?1, revision = revision + 1
         WHERE name = ?2 AND created_at = ?3 AND revision = ?4 AND disabled = 0 RETURNING *`,
      )
      .bind(newHash, name, createdAt, revision)
      .first<Row>();
    return parseRow(row);
  }

  /** Gives an account other rights; null if there is none of this name. */
  async change(name: string, { grants, disabled }: AccountRights): Promise<Account | null> {
    const row = await this.#database
      .prepare(
        `UPDATE accounts SET grants = iif(?1, ?2, grants), disabled = iif(?3, ?4, disabled), revision = revision + 1
         WHERE name = ?5 RETURNING *`,
      )
      .bind(
        Number(grants !== undefined),
        grantsText(grants ?? null),
        Number(disabled !== undefined),
        Number(disabled ?? false),
        name,
      )
      .first<Row>();
    return parseRow(row);
  }

  /** Deletes an account; false if it was changed, disabled or deleted since it was read. */
  async deleteUnchanged({ name, createdAt, revision }: Account): Promise<boolean> {
    const { meta } = await this.#database
      .prepare("DELETE FROM accounts WHERE name = ? AND created_at = ? AND revision = ? AND disabled = 0")
      .bind(name, createdAt, revision)
      .run();
    return meta.changes === 1;
  }

  /** Deletes an account; false if there is none of this name. */
  async delete(name: string): Promise<boolean> {
    const { meta } = await this.#database.prepare("DELETE FROM accounts WHERE name = ?").bind(name).run();
    return meta.changes === 1;
  }
}

interface Row {
  readonly name: string;
  readonly password_hash: string;
  readonly created_at: number;
  readonly last_login_at: number | null;
  readonly grants: string | null;
  readonly disabled: number;
  readonly revision: number;
}

function grantsText(grants: readonly string[] | null): string | null {
  return grants === null ? null : JSON.stringify(grants);
}

function parseRow(row: Row | null): Account | null {
  if (row === null) return null;
  return {
    name: row.name,
    passwordHash: row.password_hash,
    createdAt: row.created_at,
    lastLoginAt: row.last_login_at,
    grants: row.grants === null ? null : (JSON.parse(row.grants) as string[]),
    disabled: row.disabled !== 0,
    revision: row.revision,
  };
}
