import { DurableObject } from "cloudflare:workers";

/** How long a try counts: nobody who stops trying waits longer. */
export const TRY_WINDOW_MS = 60_000;

/** Tries that count together, and how many there may be within {@link TRY_WINDOW_MS}. */
export interface TryBudget {
  readonly key: string;
  readonly most: number;
}

/** Whether a password may be tried now; `tries` is for {@link LoginGuard.takeBack}. */
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
      CREATE TABLE IF NOT EXISTS device_key (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
    `);
  }

  /** Counts a try in each of the budgets; if one of them is spent, in none. */
  begin(budgets: readonly TryBudget[]): GuardVerdict {
    const now = this.nowMs();
    this.#sql.exec("DELETE FROM tries WHERE at <= ?", now - TRY_WINDOW_MS);
    const waitMs = Math.max(0, ...budgets.map((budget) => this.#waitMs(budget, now)));
    if (waitMs > 0) return { kind: "wait", seconds: Math.ceil(waitMs / 1000) };
    const tries = budgets.map(
      ({ key }) =>
        this.#sql.exec<{ id: number }>("INSERT INTO tries (key, at) VALUES (?, ?) RETURNING id", key, now).one().id,
    );
    return { kind: "go", tries };
  }

  /** A try that was none: the password was right, or was not compared. */
  takeBack(tries: readonly number[]): void {
    for (const id of tries) this.#sql.exec("DELETE FROM tries WHERE id = ?", id);
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
    return last === undefined ? 0 : last.at + TRY_WINDOW_MS - now;
  }
}
