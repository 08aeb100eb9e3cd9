import { Hono } from "hono";
import type { AppEnv } from "../app-env.ts";
import { userOfAccount } from "../browser/account-rules.ts";
import { type Account, Accounts } from "../browser/accounts.ts";
import { choosePassword } from "../browser/ask-password-hasher.ts";
import { endAccount, endAccountSessions } from "../browser/end-account.ts";
import { AccountChange, AccountParam, AccountsQuery, NewAccount } from "../http/account-schemas.ts";
import { problem } from "../http/problem.ts";
import { jsonBody, pathParams, query } from "../http/validate.ts";

const NO_ACCOUNT = "name: no such account";
const TAKEN = "name: an account has it already";
const SESSIONS_LEFT = "not every session of the account could be ended: send the request again";

/**
 * `/v1/accounts`: what operators do with browser accounts. Whoever changes what an account may do ends its sessions: they say
 * what it might do before.
 */
export const accounts = new Hono<AppEnv>()
  .get("/", query(AccountsQuery), async (c) => {
    const { after, limit } = c.req.valid("query");
    // One more says whether there is a next page.
    const found = await new Accounts(c.env.DB).list(after, limit + 1);
    const page = found.slice(0, limit);
    return c.json({ accounts: page.map(view), next: found.length > limit ? (page.at(-1)?.name ?? null) : null });
  })
  .post("/", jsonBody(NewAccount), async (c) => {
    const { name, password, grants = null } = c.req.valid("json");
    const accounts = new Accounts(c.env.DB);
    // What the database would refuse anyway is not worth a hash.
    if ((await accounts.find(name)) !== null) return problem(c, "conflict", TAKEN);
    const chosen = await choosePassword(c.env.PASSWORD_HASHER, password, "operators");
    if (chosen.kind === "common") return problem(c, "invalid", "password: many people use it, so it is tried first");
    if (chosen.kind === "busy") {
      c.header("Retry-After", String(chosen.retryAfterSeconds));
      return problem(c, "unavailable", "too many passwords wait to be hashed");
    }
    // Whoever had the name before it was deleted is not this account.
    if ((await endAccountSessions(c.get("store"), name)) === undefined) return problem(c, "unavailable");
    const account = await accounts.create(name, chosen.hash, Date.now(), grants);
    return account === null ? problem(c, "conflict", TAKEN) : c.json(view(account), 201);
  })
  .get("/:name", pathParams(AccountParam), async (c) => {
    const account = await new Accounts(c.env.DB).find(c.req.valid("param").name);
    return account === null ? problem(c, "not_found", NO_ACCOUNT) : c.json(view(account));
  })
  .patch("/:name", pathParams(AccountParam), jsonBody(AccountChange), async (c) => {
    const { name } = c.req.valid("param");
    const { grants, disabled } = c.req.valid("json");
    const account = await new Accounts(c.env.DB).change(name, {
      ...(grants !== undefined && { grants }),
      ...(disabled !== undefined && { disabled }),
    });
    if (account === null) return problem(c, "not_found", NO_ACCOUNT);
    // The sessions of one that was disabled have ended.
    const loses = grants !== undefined || disabled === true;
    const sessionsEnded = loses ? await endAccountSessions(c.get("store"), name) : 0;
    if (sessionsEnded === undefined) return problem(c, "unavailable", SESSIONS_LEFT);
    return c.json({ ...view(account), sessionsEnded });
  })
  .delete("/:name", pathParams(AccountParam), async (c) => {
    const { name } = c.req.valid("param");
    const end = await endAccount(c.get("store"), name, () => new Accounts(c.env.DB).delete(name));
    if (end.kind === "unavailable") return problem(c, "unavailable", SESSIONS_LEFT);
    return end.kind === "not_found"
      ? problem(c, "not_found", NO_ACCOUNT)
      : c.json({ sessionsEnded: end.sessionsEnded });
  });

function view({ name, grants, disabled, createdAt, lastLoginAt }: Account) {
  return { name, user: userOfAccount(name), grants, disabled, createdAt, lastLoginAt };
}
