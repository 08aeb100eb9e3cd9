import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { clientAddress, networkKey } from "../../http/client-address.ts";
import { Accounts, accountName, isAllowedPassword } from "../accounts.ts";
import { choosePassword, startSession } from "../login.ts";
import { reserveSignup } from "../login-limit.ts";
import type { PageEnv } from "../visitor.ts";
import { Layout } from "./layout.tsx";
import {
  type Credentials,
  type CredentialsError,
  CredentialsForm,
  type CredentialsPageProps,
  readCredentials,
  requestedReturn,
} from "./login.tsx";
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

/** `/signup`: creates an account and logs it in. */
export const signup = new Hono<PageEnv>()
  .use(async (c, next) => {
    if (c.get("visitor").maySignUp) return next();
    return refusePage(c, "denied", "Sign-up is closed", "New accounts cannot be made here. If you have one, log in.");
  })
  .get("/", (c) => c.html(<SignupPage visitor={c.get("visitor")} returnTo={requestedReturn(c)} />))
  .post("/", async (c) => {
    const form = await readCredentials(c);
    const name = accountName(form.user);
    if (name === undefined) return refuse(c, form, 400, BAD_NAME);
    if (!isAllowedPassword(form.password)) return refuse(c, form, 400, BAD_PASSWORD);
    const { config } = c.var;
    const address = clientAddress(c, config);
    const reserved = await reserveSignup(c.env, config.login, address);
    if (reserved.kind === "wait") {
      c.header("Retry-After", String(reserved.seconds));
      return refuse(c, form, 429, { message: `Too many tries. Try again in ${reserved.seconds} seconds.` });
    }
    const accounts = new Accounts(c.env.DB);
    // A hash is expensive: a name that is taken is refused before.
    if ((await accounts.find(name)) !== null) return refuse(c, form, 409, TAKEN);
    const chosen = await choosePassword(c.env.PASSWORD_HASHER, form.password, await networkKey(address));
    if (chosen.kind === "common") return refuse(c, form, 400, COMMON);
    if (chosen.kind === "busy") return refuseBusy(c, chosen);
    const account = await accounts.create(name, chosen.hash, Date.now());
    if (account === null) return refuse(c, form, 409, TAKEN);
    // Sessions of a deleted account of the same name are not this account's.
    const status = await startSession(c, account, { endsOthers: true });
    // Without a session the account exists all the same, and its owner can log in.
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
