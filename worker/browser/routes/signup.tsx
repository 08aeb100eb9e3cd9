import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { clientAddress, networkKey } from "../../http/client-address.ts";
import { requestHost } from "../../http/same-origin.ts";
import { accountName, isAllowedPassword } from "../account-rules.ts";
import { Accounts } from "../accounts.ts";
import { choosePassword } from "../ask-password-hasher.ts";
import { type CredentialsForm, readCredentialsForm } from "../credentials-form.ts";
import { beginSignup } from "../login-limit.ts";
import { type CredentialsError, SignupPage } from "../pages/credentials-page.tsx";
import { refuseBusy, refusePage } from "../refuse-page.tsx";
import { refuseSession } from "../refuse-session.tsx";
import { returnInQuery, safeReturn } from "../return-address.ts";
import { startSession } from "../start-session.ts";
import type { PageEnv } from "../visitor.ts";

const BAD_NAME: CredentialsError = { field: "user", message: "This name cannot be used. See below what is allowed." };
const BAD_PASSWORD: CredentialsError = {
  field: "password",
  message: "This password cannot be used. See below what is allowed.",
};
const COMMON: CredentialsError = {
  field: "password",
  message: "Many people use this password, so it is tried first. Choose another.",
};
const TAKEN: CredentialsError = { field: "user", message: "Somebody has this name already. Choose another." };

/** `/signup`: a new account is logged in at once. */
export const signup = new Hono<PageEnv>()
  .use(async (c, next) => {
    if (c.get("visitor").maySignUp) return next();
    return refusePage(c, "denied", "Sign-up is closed", "New accounts cannot be made here. If you have one, log in.");
  })
  .get("/", (c) => {
    const returnTo = safeReturn(returnInQuery(c.req.url), requestHost(c));
    return c.html(<SignupPage visitor={c.get("visitor")} returnTo={returnTo} />);
  })
  .post("/", async (c) => {
    const form = await readCredentialsForm(c);
    const name = accountName(form.user);
    if (name === undefined) return refuse(c, form, 400, BAD_NAME);
    if (!isAllowedPassword(form.password)) return refuse(c, form, 400, BAD_PASSWORD);
    const { settings } = c.var;
    const address = clientAddress(c, settings);
    const attempt = await beginSignup(c.env, settings.login, address);
    if (attempt.kind === "wait") {
      c.header("Retry-After", String(attempt.seconds));
      return refuse(c, form, 429, { message: `Too many tries. Try again in ${attempt.seconds} seconds.` });
    }
    const accounts = new Accounts(c.env.DB);
    // What the database would refuse anyway is not worth a hash.
    if ((await accounts.find(name)) !== null) return refuse(c, form, 409, TAKEN);
    const chosen = await choosePassword(c.env.PASSWORD_HASHER, form.password, networkKey(address));
    if (chosen.kind === "common") return refuse(c, form, 400, COMMON);
    if (chosen.kind === "busy") return refuseBusy(c, chosen);
    const account = await accounts.create(name, chosen.hash, Date.now());
    if (account === null) return refuse(c, form, 409, TAKEN);
    // Whoever had the name before it was deleted is not this account.
    const status = await startSession(c, account, { endsOthers: true });
    // The account is there all the same: a login makes up for it.
    return status === Status.Ok ? c.redirect(form.returnTo, 303) : refuseSession(c, status);
  });

function refuse(
  c: Context<PageEnv>,
  { user, returnTo }: CredentialsForm,
  status: 400 | 409 | 429,
  error: CredentialsError,
) {
  return c.html(<SignupPage visitor={c.get("visitor")} returnTo={returnTo} user={user} error={error} />, status);
}
