import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status.ts";
import { clientAddress } from "../../http/client-address.ts";
import { requestHost } from "../../http/same-origin.ts";
import { accountName, canBePassword } from "../account-rules.ts";
import { Accounts } from "../accounts.ts";
import { comparePassword } from "../ask-password-hasher.ts";
import { type CredentialsForm, readCredentialsForm } from "../credentials-form.ts";
import { LOGIN_WINDOW_SECONDS, mayTryPassword } from "../login-limit.ts";
import { LoginPage } from "../pages/credentials-page.tsx";
import { refuseBusy } from "../refuse-busy.ts";
import { refuseSession } from "../refuse-session.tsx";
import { returnInQuery, safeReturn } from "../return-address.ts";
import { startSession } from "../start-session.ts";
import type { PageEnv } from "../visitor.ts";

/** The same for a name that nobody has and for a disabled account: a login page is no directory. */
const WRONG = "User name or password is wrong.";
const TOO_MANY = "Too many tries. Wait a minute, then try again.";

/** `/login` */
export const login = new Hono<PageEnv>()
  .get("/", (c) => {
    const returnTo = safeReturn(returnInQuery(c.req.url), requestHost(c));
    return c.html(<LoginPage visitor={c.get("visitor")} returnTo={returnTo} />);
  })
  .post("/", async (c) => {
    const form = await readCredentialsForm(c);
    const name = accountName(form.user);
    if (name === undefined || !canBePassword(form.password)) return refuse(c, form, 401, WRONG);
    if (!(await mayTryPassword(c.env, name, clientAddress(c, c.get("settings"))))) {
      c.header("Retry-After", String(LOGIN_WINDOW_SECONDS));
      return refuse(c, form, 429, TOO_MANY);
    }
    const accounts = new Accounts(c.env.DB);
    const account = await accounts.find(name);
    const verdict = await comparePassword(c.env.PASSWORD_HASHER, form.password, account?.passwordHash);
    if (verdict.kind === "busy") return refuseBusy(c, verdict);
    if (account === null || !verdict.matches || account.disabled) return refuse(c, form, 401, WRONG);
    const status = await startSession(c, account, { newHash: verdict.newHash });
    // It was changed, disabled or deleted while its password was compared.
    if (status === Status.Denied) return refuse(c, form, 401, WRONG);
    if (status !== Status.Ok) return refuseSession(c, status);
    return c.redirect(form.returnTo, 303);
  });

function refuse(c: Context<PageEnv>, { user, returnTo }: CredentialsForm, status: 401 | 429, message: string) {
  return c.html(<LoginPage visitor={c.get("visitor")} returnTo={returnTo} user={user} error={{ message }} />, status);
}
