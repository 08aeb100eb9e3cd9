import * as v from "valibot";
import { isLoopbackHost } from "../config/loopback.ts";

/** Where the edge is, and the key that it requires. */
export interface AccountClientOptions {
  /** The edge's origin; https beyond loopback. */
  readonly edge: URL;
  readonly apiKey: string;
  readonly timeoutMs: number;
}

const Account = v.object({
  name: v.string(),
  user: v.string(),
  /** null: what WEB_GRANTS says. */
  grants: v.nullable(v.array(v.string())),
  disabled: v.boolean(),
  createdAt: v.number(),
  lastLoginAt: v.nullable(v.number()),
});
const Changed = v.object({ ...Account.entries, sessionsEnded: v.number() });
const Deleted = v.object({ sessionsEnded: v.number() });
const Page = v.object({ accounts: v.array(Account), next: v.nullable(v.string()) });
const Refusal = v.object({ code: v.string(), title: v.string(), detail: v.optional(v.string()) });

export type AccountView = v.InferOutput<typeof Account>;

/** The edge's verdict on a request about an account, with the body of its response. */
export type AccountVerdict<Body> =
  | { readonly status: "Ok"; readonly body: Body }
  | { readonly status: "NotFound" | "Conflict" };

const VERDICTS: Readonly<Record<string, "NotFound" | "Conflict">> = { not_found: "NotFound", conflict: "Conflict" };

/** A client of `/v1/accounts` (docs/http-api.md) for operators. Its methods reject if there is no verdict. */
export class AccountClient {
  readonly #options: AccountClientOptions;

  /** @throws Error the key would be sent without TLS */
  constructor(options: AccountClientOptions) {
    const { protocol, hostname } = options.edge;
    if (protocol !== "https:" && !(protocol === "http:" && isLoopbackHost(hostname))) {
      throw new Error("the edge's URL: allowed is https, and http on loopback");
    }
    this.#options = options;
  }

  /** All accounts, in the order of their names. */
  async *list(): AsyncGenerator<AccountView> {
    let after: string | null = "";
    while (after !== null) {
      const page: AccountVerdict<v.InferOutput<typeof Page>> = await this.#ask(
        Page,
        "GET",
        `?after=${encodeURIComponent(after)}&limit=1000`,
      );
      if (page.status !== "Ok") throw new Error("the edge has no accounts: is it an older one?");
      yield* page.body.accounts;
      after = page.body.next;
    }
  }

  create(name: string, password: string, grants?: readonly string[]): Promise<AccountVerdict<AccountView>> {
    return this.#ask(Account, "POST", "", { name, password, ...(grants && { grants }) });
  }

  /** Changes the given fields. The account's sessions end, unless it is only enabled. */
  change(name: string, change: { readonly grants?: readonly string[] | null; readonly disabled?: boolean }) {
    return this.#ask(Changed, "PATCH", `/${encodeURIComponent(name)}`, change);
  }

  delete(name: string) {
    return this.#ask(Deleted, "DELETE", `/${encodeURIComponent(name)}`);
  }

  async #ask<S extends v.GenericSchema>(
    schema: S,
    method: string,
    path: string,
    body?: object,
  ): Promise<AccountVerdict<v.InferOutput<S>>> {
    const { edge, apiKey, timeoutMs } = this.#options;
    const response = await fetch(new URL(`/v1/accounts${path}`, edge), {
      method,
      headers: { Authorization: `Bearer ${apiKey}`, ...(body && { "Content-Type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
      // The key must not reach another host.
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: unknown) => {
      throw new Error(`${edge.origin}: ${reasonOf(error)}`);
    });
    const received: unknown = await response.json().catch(() => undefined);
    if (response.ok) {
      const parsed = v.safeParse(schema, received);
      if (!parsed.success) throw new Error(`${edge.origin}: not the response of an edge`);
      return { status: "Ok", body: parsed.output };
    }
    const refusal = v.safeParse(Refusal, received);
    if (!refusal.success) throw new Error(`${edge.origin}: HTTP ${response.status}, not the response of an edge`);
    const status = VERDICTS[refusal.output.code];
    // Without a detail about the name, it is the route that was not found, not the account.
    if (status !== undefined && refusal.output.detail?.startsWith("name: ")) return { status };
    throw new Error(refusal.output.detail ?? refusal.output.title);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // undici's own message is only "fetch failed"; its cause has the reason.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
