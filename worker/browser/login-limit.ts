import { DurableObject } from "cloudflare:workers";
import type { Bindings } from "../app-env.ts";
import type { LoginLimits } from "../config.ts";
import { addressKey, networkKey } from "../http/client-address.ts";

/** Who tries a password, and where. */
export interface TryOrigin {
  readonly address: string | null;
  /** The device's id, if the account has logged in on it before (passwords.ts). */
  readonly device?: string | undefined;
}

/** Whether a password may be tried now; asked before it is hashed, so that guessing costs the server little. */
export type TryVerdict =
  | {
      readonly kind: "go";
      /** The try counts no more: the password was right, or was not compared. */
      takeBack(): Promise<void>;
      /** The try counts for the whole window: the password was wrong. */
      settle(): Promise<void>;
    }
  | { readonly kind: "wait"; readonly seconds: number };

/**
 * Begins a try at an account, existing or not. A device on which the account has logged in before has a budget of its own,
 * which nobody else can spend. All others share the account's, and those of one network and of one address.
 */
export async function beginLogin(
  bindings: Bindings,
  limits: LoginLimits,
  name: string,
  { address, device }: TryOrigin,
): Promise<TryVerdict> {
  const account = ["account", name];
  if (device !== undefined) {
    return begin(bindings, [[account, [{ key: keyOf("device", name, device), most: limits.triesPerDevice }]]]);
  }
  if (await isFlood(bindings, address)) return { kind: "wait", seconds: TRY_WINDOW_MS / 1000 };
  const [from, network] = [addressKey(address), networkKey(address)];
  return begin(bindings, [
    [["network", network], budgetsOf("failures", from, network, limits.failuresPerAddress, limits.failuresPerNetwork)],
    [
      account,
      [
        { key: keyOf("account", name), most: limits.triesPerAccount },
        { key: keyOf("account-from", name, network), most: limits.triesPerAccountFromNetwork },
      ],
    ],
  ]);
}

/** Begins a sign-up: it counts, also if it succeeds. */
export async function beginSignup(
  bindings: Bindings,
  limits: LoginLimits,
  address: string | null,
): Promise<TryVerdict> {
  if (await isFlood(bindings, address)) return { kind: "wait", seconds: TRY_WINDOW_MS / 1000 };
  const [from, network] = [addressKey(address), networkKey(address)];
  const verdict = await begin(bindings, [
    [["network", network], budgetsOf("signups", from, network, limits.signupsPerAddress, limits.signupsPerNetwork)],
  ]);
  if (verdict.kind === "go") await verdict.settle();
  return verdict;
}

/** What is counted by the runtime, near the client and roughly: it keeps a flood from the guards. */
async function isFlood({ LOGIN_ADDRESS_LIMIT }: Bindings, address: string | null): Promise<boolean> {
  return !(await LOGIN_ADDRESS_LIMIT.limit({ key: networkKey(address) })).success;
}

function budgetsOf(what: string, address: string, network: string, perAddress: number, perNetwork: number) {
  const ofAddress = { key: keyOf(what, address), most: perAddress };
  return address === network ? [ofAddress] : [ofAddress, { key: keyOf(what, network), most: perNetwork }];
}

function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

/** Budgets, each list with what they are counted by. */
type Counted = readonly (readonly [by: readonly string[], budgets: readonly TryBudget[]])[];

/** Asks the guards one after the other, and takes back what was counted if one of them says to wait. */
async function begin({ LOGIN_GUARD }: Bindings, counted: Counted): Promise<TryVerdict> {
  const counts: { readonly guard: DurableObjectStub<LoginGuard>; readonly tries: readonly number[] }[] = [];
  const takeBack = async () => {
    await Promise.all(counts.map(({ guard, tries }) => guard.takeBack(tries)));
  };
  const settle = async () => {
    await Promise.all(counts.map(({ guard, tries }) => guard.settle(tries)));
  };
  for (const [by, budgets] of counted) {
    const guard = LOGIN_GUARD.getByName(await guardName(by));
    const verdict: GuardVerdict = await guard.begin(budgets);
    if (verdict.kind === "wait") {
      await takeBack();
      return verdict;
    }
    counts.push({ guard, tries: verdict.tries });
  }
  return { kind: "go", takeBack, settle };
}

/** Names that are made up make no more objects than these, and a crowd of logins wakes no more. */
const GUARDS = 16;

/** The name of the guard of a name or network. */
export async function guardName(by: readonly string[]): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(by)));
  return `tries-${(new Uint8Array(digest)[0] ?? 0) % GUARDS}`;
}

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
