import { DurableObject } from "cloudflare:workers";

/** How long a try counts: nobody who stops trying waits longer. */
export const TRY_WINDOW_MS = 60_000;

/** How long to wait for tries that are under way: most of them are logins that succeed, and then count no more. */
const UNDER_WAY_SECONDS = 2;

/** Tries that count together, and how many there may be within {@link TRY_WINDOW_MS}. */
export interface TryBudget {
  readonly key: string;
  readonly most: number;
}

/** Whether a password may be tried now; `tries` is for {@link LoginGuard.takeBack} or {@link LoginGuard.settle}. */
export type GuardVerdict =
  | { readonly kind: "go"; readonly tries: readonly number[] }
  | { readonly kind: "wait"; readonly seconds: number };

const DEVICE_KEY_BYTES = 32;

/**
 * Counts tries exactly, wherever they are made: of names and addresses that fall to this object (login-limit.ts). And keeps, in
 * one object of its own, the key by which the worker knows its device cookies.
 */
export class LoginGuard extends DurableObject {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env as Cloudflare.Env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS tries (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, at INTEGER NOT NULL);
      CREATE INDEX IF NOT EXISTS tries_by_key ON tries (key, at);
      CREATE INDEX IF NOT EXISTS tries_by_time ON tries (at);
      CREATE TABLE IF NOT EXISTS under_way (id INTEGER PRIMARY KEY);
      CREATE TABLE IF NOT EXISTS device_key (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
    `);
  }

  /** Counts a try in each of the budgets; if one of them is spent, in none. */
  begin(budgets: readonly TryBudget[]): GuardVerdict {
    const now = this.nowMs();
    const endedBefore = now - TRY_WINDOW_MS;
    this.#sql.exec("DELETE FROM under_way WHERE id IN (SELECT id FROM tries WHERE at <= ?)", endedBefore);
    this.#sql.exec("DELETE FROM tries WHERE at <= ?", endedBefore);
    const waitMs = Math.max(0, ...budgets.map((budget) => this.#waitMs(budget, now)));
    if (waitMs > 0) return { kind: "wait", seconds: Math.ceil(waitMs / 1000) };
    const tries = budgets.map(
      ({ key }) =>
        this.#sql.exec<{ id: number }>("INSERT INTO tries (key, at) VALUES (?, ?) RETURNING id", key, now).one().id,
    );
    for (const id of tries) this.#sql.exec("INSERT INTO under_way (id) VALUES (?)", id);
    return { kind: "go", tries };
  }

  /** The tries count for the whole window, and who is refused for them is told so: the password was wrong. */
  settle(tries: readonly number[]): void {
    for (const id of tries) this.#sql.exec("DELETE FROM under_way WHERE id = ?", id);
  }

  /** A try that was none: the password was right, or was not compared. */
  takeBack(tries: readonly number[]): void {
    for (const id of tries) this.#sql.exec("DELETE FROM tries WHERE id = ?", id);
    this.settle(tries);
  }

  /** The key of the device cookies, made at its first use. */
  deviceKey(): ArrayBuffer {
    this.#sql.exec(
      "INSERT INTO device_key (one, key) VALUES (1, ?) ON CONFLICT DO NOTHING",
      crypto.getRandomValues(new Uint8Array(DEVICE_KEY_BYTES)).buffer,
    );
    return this.#sql.exec<{ key: ArrayBuffer }>("SELECT key FROM device_key").one().key;
  }

  /** How long until the budget has room for one try more. */
  #waitMs({ key, most }: TryBudget, now: number): number {
    // The oldest of those that must go.
    const [last] = this.#sql.exec<{ at: number }>(
      "SELECT at FROM tries WHERE key = ? ORDER BY at DESC LIMIT 1 OFFSET ?",
      key,
      most - 1,
    );
    if (last === undefined) return 0;
    const { settled } = this.#sql
      .exec<{ settled: number }>(
        "SELECT count(*) AS settled FROM tries WHERE key = ? AND id NOT IN (SELECT id FROM under_way)",
        key,
      )
      .one();
    return settled < most ? UNDER_WAY_SECONDS * 1000 : last.at + TRY_WINDOW_MS - now;
  }
}
