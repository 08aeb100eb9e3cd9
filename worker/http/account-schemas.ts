import * as v from "valibot";
import { accountName, isAllowedPassword, NAME_RULE, PASSWORD_RULE } from "../browser/account-rules.ts";
import { EpochMs, Grants, User } from "./schemas.ts";

/** Accounts on one page of GET /v1/accounts. */
const MAX_PAGE = 1000;
const DEFAULT_PAGE = 100;
const PAGE_RULE = `allowed is a whole number, 1..${MAX_PAGE}`;

/** An account's name in a path, in whatever case and composition. */
export const AccountParam = v.object({
  name: v.pipe(v.string(), v.transform(accountName), v.string(`allowed are ${NAME_RULE}`)),
});

/** The query of GET /v1/accounts. */
export const AccountsQuery = v.strictObject({
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

/** What PATCH answers. */
export const ChangedAccount = v.object({ ...accountEntries, sessionsEnded: SessionsEnded });

/** What DELETE answers. */
export const DeletedAccount = v.object({ sessionsEnded: SessionsEnded });
