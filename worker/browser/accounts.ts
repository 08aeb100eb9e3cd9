import { MAX_USER_BYTES, WEB_USER_PREFIX } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status-codes.ts";
import { runOne, type SessionStore } from "../session-store/session-store.ts";

/** A browser account. Times are epoch milliseconds. */
export interface Account {
  readonly name: string;
  /** PHC string (password-hasher/password-service.ts). */
  readonly passwordHash: string;
  readonly createdAt: number;
  /** null before the first login. */
  readonly lastLoginAt: number | null;
  /** What its sessions may enter; null is what WEB_GRANTS says. */
  readonly grants: readonly string[] | null;
  /** Nobody can log in to a disabled account. */
  readonly disabled: boolean;
  /** Increases with each change of the password, the grants or `disabled`. */
  readonly revision: number;
}

/** What an operator may change; what is absent stays as it is. */
export interface AccountRights {
  readonly grants?: readonly string[] | null;
  readonly disabled?: boolean;
}

/** What the accounts use of a database: D1, or outside Cloudflare a Durable Object (edge/modules/accounts-binding.ts). */
export interface Database {
  prepare(text: string): Statement;
}

/** A statement and the values for its `?`. A call rejects if the database does not respond. */
export interface Statement {
  bind(...values: readonly (string | number | null)[]): Statement;
  first<Row>(): Promise<Row | null>;
  all<Row>(): Promise<{ results: Row[] }>;
  run(): Promise<{ meta: { changes: number } }>;
}

/** The accounts in their database (migrations/). Its methods reject if the database does not respond. */
export class Accounts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The account of this name, as {@link accountName} spells it. */
  async find(name: string): Promise<Account | null> {
    return parseRow(await this.#database.prepare("SELECT * FROM accounts WHERE name = ?").bind(name).first<Row>());
  }

  /** Up to `limit` accounts in the order of their names, beginning after the name `after`. */
  async list(after: string, limit: number): Promise<Account[]> {
    const { results } = await this.#database
      .prepare("SELECT * FROM accounts WHERE name > ? ORDER BY name LIMIT ?")
      .bind(after, limit)
      .all<Row>();
    return results.flatMap((row) => parseRow(row) ?? []);
  }

  /** Creates the account; null if the name is taken. */
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
   * Records a login; false if the account was changed, disabled or deleted since it was read. `newHash` replaces the
   * password's hash, unless another login has replaced it meanwhile.
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

  /** Changes the rights of an account; null if there is none of this name. */
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

const MAX_NAME_CHARACTERS = 32;

/** The user of a session is the account's name with a prefix. */
const MAX_NAME_BYTES = MAX_USER_BYTES - WEB_USER_PREFIX.length;

/** NIST SP 800-63B-4 §3.1.1.2: a minimum length, room for a sentence, and no rules of composition. */
const MIN_PASSWORD_CHARACTERS = 8;
const MAX_PASSWORD_CHARACTERS = 256;

/** Shown beside the fields of the sign-up page, and in the API's problems. */
export const NAME_RULE = `1 to ${MAX_NAME_CHARACTERS} letters or digits; "." "_" and "-" are allowed after the first.`;
export const PASSWORD_RULE = `${MIN_PASSWORD_CHARACTERS} to ${MAX_PASSWORD_CHARACTERS} characters, any you like.`;

const NAME = new RegExp(`^[\\p{L}\\p{N}][\\p{L}\\p{N}\\p{M}._-]{0,${MAX_NAME_CHARACTERS - 1}}$`, "u");

/**
 * The one spelling of an account's name: lower case, NFKC. With it nobody can sign up as `KIM` beside `kim`. undefined if the
 * name is not allowed ({@link NAME_RULE}); letters and digits may be of any script.
 */
export function accountName(typed: string): string | undefined {
  // Normalising takes time, so a text that is far too long is refused first.
  if (typed.length > 4 * MAX_NAME_CHARACTERS) return undefined;
  // Lower case may need another composition (a Greek capital before U+0345). Applied twice, the function must change nothing.
  const name = typed.trim().normalize("NFKC").toLowerCase().normalize("NFKC");
  const isAllowed = NAME.test(name) && new TextEncoder().encode(name).length <= MAX_NAME_BYTES;
  return isAllowed ? name : undefined;
}

/** Whether the password is of an allowed length. */
export function isAllowedPassword(password: string): boolean {
  return password.length >= MIN_PASSWORD_CHARACTERS && password.length <= MAX_PASSWORD_CHARACTERS;
}

/** Whether an account can have this password: a longer one is not worth a hash. */
export function canBePassword(password: string): boolean {
  return password.length <= MAX_PASSWORD_CHARACTERS;
}

/** The user that sessions of an account have. */
export function userOfAccount(name: string): string {
  return WEB_USER_PREFIX + name;
}

/** The name of the account that a session's user belongs to; undefined for the user of a service. */
export function accountOfUser(user: string): string | undefined {
  return user.startsWith(WEB_USER_PREFIX) ? user.slice(WEB_USER_PREFIX.length) : undefined;
}

/** Ends all sessions of an account. Returns how many there were, undefined if the store could not be asked. */
export async function endAccountSessions(store: SessionStore, name: string): Promise<number | undefined> {
  const { status, deleted } = await runOne(store, { kind: "deleteUser", user: userOfAccount(name) });
  return status === Status.Ok ? deleted : undefined;
}

/** The outcome of deleting an account. After `unavailable` a part may be done; repeating it is safe. */
export type AccountEnd =
  | { readonly kind: "deleted"; readonly sessionsEnded: number }
  | { readonly kind: "not_found" }
  | { readonly kind: "unavailable" };

/**
 * Deletes an account and ends its sessions. The sessions end first, so that none outlives the account. They end again
 * afterwards, because a login may have come in between.
 *
 * @param remove deletes the account; false if there is none
 */
export async function endAccount(
  store: SessionStore,
  name: string,
  remove: () => Promise<boolean>,
): Promise<AccountEnd> {
  const before = await endAccountSessions(store, name);
  if (before === undefined) return { kind: "unavailable" };
  const existed = await remove();
  const after = await endAccountSessions(store, name);
  if (after === undefined) return { kind: "unavailable" };
  return existed ? { kind: "deleted", sessionsEnded: before + after } : { kind: "not_found" };
}
