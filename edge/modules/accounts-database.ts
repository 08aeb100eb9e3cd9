import { DurableObject } from "cloudflare:workers";

/** A file of migrations/. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

interface AccountsEnv {
  /** All of migrations/, in the order of their names. */
  readonly MIGRATIONS: readonly Migration[];
}

/** What a statement can be given, and a row can hold. */
export type SqlValue = string | number | null;

/** What a statement brought. */
export interface QueryResult {
  readonly rows: readonly Readonly<Record<string, SqlValue>>[];
  /** Rows that it has inserted, updated or deleted. */
  readonly changes: number;
}

/**
 * The database of browser accounts outside Cloudflare: the Durable Object that accounts-binding.ts reaches, and that has D1's place.
 * Its schema is that of D1, from the same files.
 */
export class AccountsDatabase extends DurableObject<AccountsEnv> {
  readonly #sql: SqlStorage;

  /** Throws if a migration cannot be applied; nothing of it is left then, and the next call tries again. */
  constructor(ctx: DurableObjectState, env: AccountsEnv) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#migrate();
  }

  /** Runs one statement, whole or not at all. */
  query(statement: string, values: readonly SqlValue[]): QueryResult {
    const before = this.#totalChanges();
    const rows = this.#sql.exec<Record<string, SqlValue>>(statement, ...values).toArray();
    return { rows, changes: this.#totalChanges() - before };
  }

  #totalChanges(): number {
    return this.#sql.exec<{ changes: number }>("SELECT total_changes() AS changes").one().changes;
  }

  /**
   * Brings the schema up to date: each migration once, in order, all of it or nothing. The table is that in which
   * `wrangler d1 migrations apply` records what it has applied, so an earlier `npm start`'s database goes on here.
   */
  #migrate(): void {
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS d1_migrations (
      id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
    )`);
    const applied = new Set(
      this.#sql
        .exec<{ name: string }>("SELECT name FROM d1_migrations")
        .toArray()
        .map(({ name }) => name),
    );
    for (const { name, sql } of this.env.MIGRATIONS.filter((migration) => !applied.has(migration.name))) {
      this.ctx.storage.transactionSync(() => {
        this.#sql.exec(sql);
        this.#sql.exec("INSERT INTO d1_migrations (name) VALUES (?)", name);
      });
    }
  }
}

/** workerd wants a handler of every worker, and nothing asks this one: bindings name the class. */
export default {
  fetch: (): Response => new Response(null, { status: 404 }),
};
