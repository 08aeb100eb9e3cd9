import { DurableObject } from "cloudflare:workers";
import type { LoginLimits } from "../config.ts";
import { addressKey, networkKey } from "../http/client-address.ts";

/** The worker's bindings that the limits use. */
export interface LoginLimitBindings {
  /** Counts logins and sign-ups of a network, also successful ones, approximately. */
  readonly LOGIN_ADDRESS_LIMIT: RateLimit;
  readonly LOGIN_GUARD: DurableObjectNamespace<LoginGuard>;
}

/** Where a password is tried. */
export interface TryOrigin {
  readonly address: string | null;
  /** The device's id, if the account has logged in on it before (login.ts). */
  readonly device?: string | undefined;
}

/** Whether a password may be tried now. */
export type TryVerdict =
  | {
      readonly kind: "go";
      /** Removes the try from the counts: the password was right, or was not compared. */
      release(): Promise<void>;
      /** Counts the try for the whole window: the password was wrong. */
      consume(): Promise<void>;
    }
  | { readonly kind: "wait"; readonly seconds: number };

/**
 * Reserves a try at an account, existing or not, before the password is hashed: a refused guess costs the server little. A
 * device on which the account has logged in before has a budget that only it can spend. All other devices share the budgets
 * of the account, of their network and of their address.
 */
export async function reserveLogin(
  bindings: LoginLimitBindings,
  limits: LoginLimits,
  name: string,
  { address, device }: TryOrigin,
): Promise<TryVerdict> {
  const account = ["account", name];
  if (device !== undefined) {
    return reserve(bindings, [[account, [{ key: keyOf("device", name, device), most: limits.triesPerDevice }]]]);
  }
  if (await isFlood(bindings, address)) return { kind: "wait", seconds: TRY_WINDOW_MS / 1000 };
  const [from, network] = await Promise.all([addressKey(address), networkKey(address)]);
  return reserve(bindings, [
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

/** Counts a sign-up, whether it succeeds or not. */
export async function reserveSignup(
  bindings: LoginLimitBindings,
  limits: LoginLimits,
  address: string | null,
): Promise<TryVerdict> {
  if (await isFlood(bindings, address)) return { kind: "wait", seconds: TRY_WINDOW_MS / 1000 };
  const [from, network] = await Promise.all([addressKey(address), networkKey(address)]);
  const verdict = await reserve(bindings, [
    [["network", network], budgetsOf("signups", from, network, limits.signupsPerAddress, limits.signupsPerNetwork)],
  ]);
  if (verdict.kind === "go") await verdict.consume();
  return verdict;
}

/** Keeps a flood from one network away from the guards. */
async function isFlood({ LOGIN_ADDRESS_LIMIT }: LoginLimitBindings, address: string | null): Promise<boolean> {
  return !(await LOGIN_ADDRESS_LIMIT.limit({ key: await networkKey(address) })).success;
}

function budgetsOf(what: string, address: string, network: string, perAddress: number, perNetwork: number) {
  const ofAddress = { key: keyOf(what, address), most: perAddress };
  return address === network ? [ofAddress] : [ofAddress, { key: keyOf(what, network), most: perNetwork }];
}

function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}

/** Budgets by the account or network whose guard counts them. */
type GuardedBudgets = readonly (readonly [guarded: readonly string[], budgets: readonly TryBudget[]])[];

/** Asks the guards one after the other. If one refuses, the tries that were reserved at the others are released. */
async function reserve({ LOGIN_GUARD }: LoginLimitBindings, guarded: GuardedBudgets): Promise<TryVerdict> {
  const reserved: { readonly guard: DurableObjectStub<LoginGuard>; readonly tries: readonly number[] }[] = [];
  const release = async () => {
    await Promise.all(reserved.map(({ guard, tries }) => guard.release(tries)));
  };
  const consume = async () => {
    await Promise.all(reserved.map(({ guard, tries }) => guard.consume(tries)));
  };
  for (const [accountOrNetwork, budgets] of guarded) {
    const guard = LOGIN_GUARD.getByName(await guardName(accountOrNetwork));
    const verdict: GuardVerdict = await guard.reserve(budgets);
    if (verdict.kind === "wait") {
      await release();
      return verdict;
    }
    reserved.push({ guard, tries: verdict.tries });
  }
  return { kind: "go", release, consume };
}

/** Bounds the objects that made-up names create, and that many logins at once wake. */
const GUARDS = 16;

/** The name of the guard of an account or network. */
export async function guardName(accountOrNetwork: readonly string[]): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify(accountOrNetwork));
  const digest = await crypto.subtle.digest("SHA-256", text);
  return `tries-${(new Uint8Array(digest)[0] ?? 0) % GUARDS}`;
}

/** How long a try counts: nobody who stops trying waits longer. */
const TRY_WINDOW_MS = 60_000;

/** How long to wait for pending tries: most are logins that succeed and are then released. */
const PENDING_WAIT_MS = 2000;

/** Tries that count together, and how many there may be within {@link TRY_WINDOW_MS}. */
interface TryBudget {
  readonly key: string;
  readonly most: number;
}

/** `tries` are for {@link LoginGuard.release} or {@link LoginGuard.consume}. */
type GuardVerdict =
  | { readonly kind: "go"; readonly tries: readonly number[] }
  | { readonly kind: "wait"; readonly seconds: number };

const DEVICE_KEY_BYTES = 32;

/**
 * Counts tries exactly, wherever they are made. {@link guardName} maps an account or network to one of these objects. One more
 * object stores the key of the device cookies (login.ts).
 */
export class LoginGuard extends DurableObject {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env as Cloudflare.Env);
    this.#sql = ctx.storage.sql;
    // `under_way` has the tries that are pending: reserved, and neither consumed nor released.
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS tries (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, at INTEGER NOT NULL);
      CREATE INDEX IF NOT EXISTS tries_by_key ON tries (key, at);
      CREATE INDEX IF NOT EXISTS tries_by_time ON tries (at);
      CREATE TABLE IF NOT EXISTS under_way (id INTEGER PRIMARY KEY);
      CREATE TABLE IF NOT EXISTS device_key (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
    `);
  }

  /** Counts a try in each of the budgets; if one of them is spent, in none. */
  reserve(budgets: readonly TryBudget[]): GuardVerdict {
    const now = this.nowMs();
    const windowStart = now - TRY_WINDOW_MS;
    this.#sql.exec("DELETE FROM under_way WHERE id IN (SELECT id FROM tries WHERE at <= ?)", windowStart);
    this.#sql.exec("DELETE FROM tries WHERE at <= ?", windowStart);
    const waitMs = Math.max(0, ...budgets.map((budget) => this.#waitMs(budget, now)));
    if (waitMs > 0) return { kind: "wait", seconds: Math.ceil(waitMs / 1000) };
    const tries = budgets.map(
      ({ key }) =>
        this.#sql.exec<{ id: number }>("INSERT INTO tries (key, at) VALUES (?, ?) RETURNING id", key, now).one().id,
    );
    for (const id of tries) this.#sql.exec("INSERT INTO under_way (id) VALUES (?)", id);
    return { kind: "go", tries };
  }

  /** The tries were wrong passwords: they count for the whole window. */
  consume(tries: readonly number[]): void {
    for (const id of tries) this.#sql.exec("DELETE FROM under_way WHERE id = ?", id);
  }

  /** The tries count no more. */
  release(tries: readonly number[]): void {
    for (const id of tries) this.#sql.exec("DELETE FROM tries WHERE id = ?", id);
    this.consume(tries);
  }

  /** The key of the device cookies, made at its first use. */
  deviceKey(): ArrayBuffer {
    this.#sql.exec(
      "INSERT INTO device_key (one, key) VALUES (1, ?) ON CONFLICT DO NOTHING",
      crypto.getRandomValues(new Uint8Array(DEVICE_KEY_BYTES)).buffer,
    );
    return this.#sql.exec<{ key: ArrayBuffer }>("SELECT key FROM device_key").one().key;
  }

  /** How long until the budget has room for one more try. */
  #waitMs({ key, most }: TryBudget, now: number): number {
    // The try that must leave the window first.
    const [blocking] = this.#sql.exec<{ at: number }>(
      "SELECT at FROM tries WHERE key = ? ORDER BY at DESC LIMIT 1 OFFSET ?",
      key,
      most - 1,
    );
    if (blocking === undefined) return 0;
    const { consumed } = this.#sql
      .exec<{ consumed: number }>(
        "SELECT count(*) AS consumed FROM tries WHERE key = ? AND id NOT IN (SELECT id FROM under_way)",
        key,
      )
      .one();
    return consumed < most ? PENDING_WAIT_MS : blocking.at + TRY_WINDOW_MS - now;
  }
}
