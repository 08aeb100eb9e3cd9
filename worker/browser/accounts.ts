/** A browser account. Times are epoch milliseconds. */
export interface Account {
  readonly name: string;
  /** PHC string (password-hasher/password.ts). */
  readonly passwordHash: string;
  readonly createdAt: number;
  /** null before the first login after the sign-up. */
  readonly lastLoginAt: number | null;
}

/** The accounts in D1 (migrations/). Its methods reject when the database does not answer. */
export class Accounts {
  readonly #database: D1Database;

  constructor(database: D1Database) {
    this.#database = database;
  }

  /** The account of this name, in the spelling of account-rules.ts. */
  async find(name: string): Promise<Account | null> {
    const row = await this.#database
      .prepare("SELECT name, password_hash, created_at, last_login_at FROM accounts WHERE name = ?")
      .bind(name)
      .first<{ name: string; password_hash: string; created_at: number; last_login_at: number | null }>();
    if (row === null) return null;
    return {
      name: row.name,
      passwordHash: row.password_hash,
      createdAt: row.created_at,
      lastLoginAt: row.last_login_at,
    };
  }

  /** Creates the account; false if somebody has the name already. */
  async create(name: string, passwordHash: string, now: number): Promise<boolean> {
    const { meta } = await this.#database
      .prepare("INSERT INTO accounts (name, password_hash, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
      .bind(name, passwordHash, now)
      .run();
    return meta.changes === 1;
  }

  /** Notes a login. With `newHash` the password's hash is replaced, unless it has changed since it was read. */
  async recordLogin({ name, passwordHash }: Account, now: number, newHash?: string): Promise<void> {
    await this.#database
      .prepare(
        `UPDATE accounts SET last_login_at = ?1, password_hash = iif(password_hash = ?2, ?3, password_hash)
         WHERE name = ?4`,
      )
      .bind(now, passwordHash, newHash ?? passwordHash, name)
      .run();
  }
}
