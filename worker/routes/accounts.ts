import { Hono } from "hono";
import * as v from "valibot";
import type { AppEnv } from "../app-env.ts";
import {
  type Account,
  Accounts,
  accountName,
  endAccount,
  endAccountSessions,
  isAllowedPassword,
  NAME_RULE,
  PASSWORD_RULE,
  userOfAccount,
} from "../browser/accounts.ts";
import { choosePassword } from "../browser/login.ts";
import { problem } from "../http/problem.ts";
import { EpochMs, Grants, User } from "../http/schemas.ts";
import { jsonBody, pathParams, query } from "../http/validate.ts";

/** Accounts on one page of GET /v1/accounts. */
const MAX_PAGE = 1000;
const DEFAULT_PAGE = 100;
const PAGE_RULE = `allowed is a whole number, 1..${MAX_PAGE}`;

/** An account's name in a path, in any case and composition. */
const AccountParam = v.object({
  name: v.pipe(v.string(), v.transform(accountName), v.string(`allowed are ${NAME_RULE}`)),
});

/** The query of GET /v1/accounts. */
const AccountsQuery = v.strictObject({
  after: v.optional(v.string("allowed is one name"), ""),
  limit: v.pipe(
    v.optional(v.string(PAGE_RULE), String(DEFAULT_PAGE)),
    v.regex(/^\d{1,4}$/, PAGE_RULE),
    v.transform(Number),
    v.minValue(1, PAGE_RULE),
    v.maxValue(MAX_PAGE, PAGE_RULE),
  ),
});

/** POST /v1/accounts */
export const NewAccount = v.strictObject({
  name: v.pipe(
    v.string(`allowed are ${NAME_RULE}`),
    v.transform(accountName),
    v.string(`allowed are ${NAME_RULE}`),
    v.metadata({ description: `Account name: ${NAME_RULE}` }),
  ),
  password: v.pipe(
    v.string(`allowed are ${PASSWORD_RULE}`),
    v.check(isAllowedPassword, `allowed are ${PASSWORD_RULE}`),
    v.metadata({ description: `Password: ${PASSWORD_RULE}` }),
  ),
  grants: v.optional(Grants),
});

/** PATCH /v1/accounts/{name} */
export const AccountChange = v.pipe(
  v.strictObject({
    grants: v.optional(
      v.pipe(
        v.nullable(Grants),
        v.metadata({ description: "What its sessions may enter; null: what WEB_GRANTS says" }),
      ),
    ),
    disabled: v.optional(
      v.pipe(v.boolean("allowed is true or false"), v.metadata({ description: "Whether nobody can log in with it" })),
    ),
  }),
  v.check(
    ({ grants, disabled }) => grants !== undefined || disabled !== undefined,
    "needed is grants, disabled, or both",
  ),
);

const accountEntries = {
  name: v.pipe(v.string(), v.metadata({ description: "Its one spelling: lower case, NFKC" })),
  user: v.pipe(User, v.metadata({ description: "The user of its sessions" })),
  grants: v.pipe(v.nullable(Grants), v.metadata({ description: "null: what WEB_GRANTS says" })),
  disabled: v.boolean(),
  createdAt: EpochMs,
  lastLoginAt: v.nullable(EpochMs),
};

/** A browser account, as operators see it. */
export const AccountView = v.object(accountEntries);

/** A page of GET /v1/accounts. */
export const AccountPage = v.object({
  accounts: v.array(AccountView),
  next: v.pipe(
    v.nullable(v.string()),
    v.metadata({ description: "The `after` of the next page; null: there is none" }),
  ),
});

const SessionsEnded = v.pipe(v.number(), v.integer(), v.minValue(0));

/** The response to PATCH. */
export const ChangedAccount = v.object({ ...accountEntries, sessionsEnded: SessionsEnded });

/** The response to DELETE. */
export const DeletedAccount = v.object({ sessionsEnded: SessionsEnded });

const NO_ACCOUNT = "name: no such account";
const TAKEN = "name: an account has it already";
const SESSIONS_LEFT = "not every session of the account could be ended: send the request again";

/**
 * `/v1/accounts`: what operators do with browser accounts. A change of an account's rights ends its sessions, because these
 * keep the rights of their login.
 */
export const accounts = new Hono<AppEnv>()
  .get("/", query(AccountsQuery), async (c) => {
    const { after, limit } = c.req.valid("query");
    // One account more shows whether there is a next page.
    const found = await new Accounts(c.env.DB).list(after, limit + 1);
    const page = found.slice(0, limit);
    return c.json({ accounts: page.map(view), next: found.length > limit ? (page.at(-1)?.name ?? null) : null });
  })
  .post("/", jsonBody(NewAccount), async (c) => {
    const { name, password, grants = null } = c.req.valid("json");
    const accounts = new Accounts(c.env.DB);
    // A hash is expensive: a name that is taken is refused before.
    if ((await accounts.find(name)) !== null) return problem(c, "conflict", TAKEN);
    const chosen = await choosePassword(c.env.PASSWORD_HASHER, password, "operators");
    if (chosen.kind === "common") return problem(c, "invalid", "password: many people use it, so it is tried first");
    if (chosen.kind === "busy") {
      c.header("Retry-After", String(chosen.retryAfterSeconds));
      return problem(c, "unavailable", "too many passwords wait to be hashed");
    }
    // Sessions of a deleted account of the same name are not this account's.
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
    // Enabling an account ends none: its sessions ended when it was disabled.
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
