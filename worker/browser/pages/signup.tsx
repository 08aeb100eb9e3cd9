import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { clientAddress, networkKey } from "../../http/client-address.ts";
import { requestHost } from "../../http/host.ts";
import { Accounts, accountName, isAllowedPassword } from "../accounts.ts";
import { choosePassword, startSession } from "../login.ts";
import { reserveSignup } from "../login-limit.ts";
import type { PageEnv } from "../visitor.ts";
import {
  type Credentials,
  type CredentialsError,
  CredentialsForm,
  type CredentialsPageProps,
  readCredentials,
  returnInQuery,
  safeReturn,
} from "./credentials-form.tsx";
import { Layout } from "./layout.tsx";
import { refuseBusy, refusePage, refuseSession } from "./refuse-page.tsx";

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
    const form = await readCredentials(c);
    const name = accountName(form.user);
    if (name === undefined) return refuse(c, form, 400, BAD_NAME);
    if (!isAllowedPassword(form.password)) return refuse(c, form, 400, BAD_PASSWORD);
    const { config } = c.var;
    const address = clientAddress(c, config);
    const attempt = await reserveSignup(c.env, config.login, address);
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
  { user, returnTo }: Credentials,
  status: 400 | 409 | 429,
  error: CredentialsError,
) {
  return c.html(<SignupPage visitor={c.get("visitor")} returnTo={returnTo} user={user} error={error} />, status);
}

/** The sign-up page. */
function SignupPage(props: CredentialsPageProps) {
  return (
    <Layout title="Sign up" visitor={props.visitor}>
      <h1>Sign up</h1>
      <CredentialsForm {...props} action="/signup" passwordKind="new-password" submit="Sign up" />
      <p>
        Have an account? <a href={`/login?return=${encodeURIComponent(props.returnTo)}`}>Log in</a>
      </p>
    </Layout>
  );
}
