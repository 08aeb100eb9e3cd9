import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import openAccounts from "../../../edge/modules/accounts-binding.ts";
import { AccountsDatabase } from "../../../edge/modules/accounts-database.ts";
import { type Account, Accounts, type Database } from "../../../worker/browser/accounts.ts";
import { bindings, migrateAccounts, newName } from "./browser.ts";

const { ACCOUNTS } = env as unknown as { readonly ACCOUNTS: DurableObjectNamespace<AccountsDatabase> };

const HASH = "$scrypt$ln=4,r=8,p=1$c2FsdA$aGFzaA";
const NOW = 1_800_000_000_000;

beforeAll(migrateAccounts);

describe.each<[string, () => Database]>([
  ["D1", () => bindings.DB],
  ["a Durable Object", () => openAccounts({ ACCOUNTS })],
])("accounts in %s", (_, open) => {
  const accounts = new Accounts(open());

  async function create(name = newName()): Promise<Account> {
    const account = await accounts.create(name, HASH, NOW);
    if (account === null) throw new Error(`${name} is taken`);
    return account;
  }

  test("an account is found as it was created", async () => {
    const account = await create();
    expect(account).toEqual({
      name: account.name,
      passwordHash: HASH,
      createdAt: NOW,
      lastLoginAt: null,
      grants: null,
      disabled: false,
      revision: 0,
    });
    expect(await accounts.find(account.name)).toEqual(account);
    expect(await accounts.find(newName())).toBeNull();
  });

  test("of many who create an account of one name at once, one does", async () => {
    const name = newName();
    const created = await Promise.all(
      Array.from({ length: 10 }, (_, index) => accounts.create(name, HASH, NOW + index)),
    );
    expect(created.filter((account) => account !== null)).toHaveLength(1);
  });

  test("a name is a value and never a part of a statement", async () => {
    const kept = await create();
    for (const name of [
      `${kept.name}' OR '1'='1`,
      "x'; DROP TABLE accounts; --",
      '"; DELETE FROM accounts; --',
      "%",
      "?1",
      "김철수",
    ]) {
      expect(await accounts.find(name)).toBeNull();
      expect((await create(name)).name).toBe(name);
      expect(await accounts.delete(name)).toBe(true);
      expect(await accounts.delete(name)).toBe(false);
    }
    expect(await accounts.find(kept.name)).toEqual(kept);
  });

  test("a page has the accounts after a name, in the order of their names", async () => {
    const first = newName();
    const names = ["", "-a", "-b", "-c"].map((ending) => first + ending);
    for (const name of names.toReversed()) await create(name);
    expect((await accounts.list(first, 2)).map(({ name }) => name)).toEqual(names.slice(1, 3));
    expect((await accounts.list(`${first}-b`, 1)).map(({ name }) => name)).toEqual([names[3]]);
  });

  test("a login is recorded, with a new hash if there is one, unless the account has changed since it was read", async () => {
    const read = await create();
    expect(await accounts.recordLogin(read, NOW + 1)).toBe(true);
    expect(await accounts.recordLogin(read, NOW + 2, "$new")).toBe(true);
    expect(await accounts.find(read.name)).toMatchObject({ lastLoginAt: NOW + 2, passwordHash: "$new", revision: 0 });
    await accounts.change(read.name, { grants: ["room:a"] });
    expect(await accounts.recordLogin(read, NOW + 3)).toBe(false);
    expect(await accounts.recordLogin({ ...read, name: newName() }, NOW + 3)).toBe(false);
  });

  test("what is changed is changed, and the rest stays", async () => {
    const { name } = await create();
    expect(await accounts.change(name, { grants: ["room:a", "room:b*"] })).toMatchObject({
      grants: ["room:a", "room:b*"],
      disabled: false,
      revision: 1,
    });
    expect(await accounts.change(name, { disabled: true })).toMatchObject({
      grants: ["room:a", "room:b*"],
      disabled: true,
    });
    expect(await accounts.change(name, { grants: null, disabled: false })).toMatchObject({ grants: null, revision: 3 });
    expect(await accounts.change(newName(), { disabled: true })).toBeNull();
  });

  test("a password is replaced, and an account deleted, only by who has read its last revision", async () => {
    const read = await create();
    const changed = await accounts.changePassword(read, "$other");
    expect(changed).toMatchObject({ passwordHash: "$other", revision: 1 });
    expect(await accounts.changePassword(read, "$third")).toBeNull();
    expect(await accounts.deleteUnchanged(read)).toBe(false);
    expect(changed !== null && (await accounts.deleteUnchanged(changed))).toBe(true);
    expect(await accounts.find(read.name)).toBeNull();
  });

  test("a statement that the database refuses rejects, and the next one is answered", async () => {
    const database = open();
    await expect(database.prepare("SELECT * FROM nowhere").all()).rejects.toThrow(/no such table: nowhere/);
    await expect(database.prepare("INSERT INTO accounts (name) VALUES (?)").bind("half").run()).rejects.toThrow(
      /NOT NULL/,
    );
    expect(await accounts.find("half")).toBeNull();
  });
});

test("of a migration that fails nothing is left, and those before it stay", async () => {
  // The storage of an object of this worker, as its tests may use it.
  await runInDurableObject(bindings.EMBEDDED_SESSIONS.getByName("a failed migration"), (_, state) => {
    const begins = { name: "8.sql", sql: "CREATE TABLE begun (x)" };
    const fails = { name: "9.sql", sql: "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)" };
    const open = () => new AccountsDatabase(state, { MIGRATIONS: [begins, fails] });
    expect(open).toThrow("nowhere");
    // The next call tries again.
    expect(open).toThrow("nowhere");
    const tables = "SELECT name FROM sqlite_master WHERE name IN ('begun', 'half')";
    expect(state.storage.sql.exec(tables).toArray()).toEqual([{ name: "begun" }]);
  });
});
