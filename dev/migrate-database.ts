import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Miniflare } from "miniflare";
import { unstable_splitSqlQuery } from "wrangler";

const MIGRATIONS = fileURLToPath(new URL("../migrations/", import.meta.url));

/** The table in which `wrangler d1 migrations apply` notes what it applied: the two can take turns on one database. */
const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)`;

/**
 * Brings the worker's database up to date, as `wrangler d1 migrations apply` does: each file of migrations/ once, in the
 * order of their names, all of a file or nothing.
 *
 * @throws Error a migration cannot be applied
 */
export async function migrateDatabase(miniflare: Miniflare): Promise<void> {
  const database = await miniflare.getD1Database("DB");
  await database.prepare(CREATE_TABLE).run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all<{ name: string }>();
  const applied = new Set(results.map(({ name }) => name));
  const files = (await readdir(MIGRATIONS)).filter((name) => name.endsWith(".sql")).sort();
  for (const name of files.filter((file) => !applied.has(file))) {
    const queries = unstable_splitSqlQuery(await readFile(MIGRATIONS + name, "utf8"));
    await database.batch([
      ...queries.map((query) => database.prepare(query)),
      database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name),
    ]);
  }
}
