import type { Database, Statement } from "../../worker/browser/accounts.ts";
import type { AccountsDatabase, SqlValue } from "./accounts-database.ts";

/**
 * The one object's name. It and the namespace's unique key (edge/workerd-config.ts) are those with which Miniflare has kept the
 * accounts of `npm start` as a D1 database, in the same kind of file: so those accounts are found.
 */
const OBJECT_NAME = "00000000-0000-0000-0000-000000000000";

/** The worker's binding DB outside Cloudflare: as much of D1's interface as the accounts use, over {@link AccountsDatabase}. */
export default function openAccounts({
  ACCOUNTS,
}: {
  readonly ACCOUNTS: DurableObjectNamespace<AccountsDatabase>;
}): Database {
  // A stub that has failed once may be broken: each statement asks for one.
  return { prepare: (text) => new ObjectStatement(() => ACCOUNTS.getByName(OBJECT_NAME), text, []) };
}

class ObjectStatement implements Statement {
  readonly #object: () => DurableObjectStub<AccountsDatabase>;
  readonly #text: string;
  readonly #values: readonly SqlValue[];

  constructor(object: () => DurableObjectStub<AccountsDatabase>, text: string, values: readonly SqlValue[]) {
    this.#object = object;
    this.#text = text;
    this.#values = values;
  }

  bind(...values: readonly SqlValue[]): Statement {
    return new ObjectStatement(this.#object, this.#text, values);
  }

  async first<Row>(): Promise<Row | null> {
    return (await this.all<Row>()).results[0] ?? null;
  }

  async all<Row>(): Promise<{ results: Row[] }> {
    const { rows } = await this.#object().query(this.#text, this.#values);
    return { results: [...rows] as Row[] };
  }

  async run(): Promise<{ meta: { changes: number } }> {
    const { changes } = await this.#object().query(this.#text, this.#values);
    return { meta: { changes } };
  }
}
