import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { requestHost } from "../../http/same-origin.ts";
import { accountName, canBePassword } from "../account-rules.ts";
import { type CredentialsForm, readCredentialsForm } from "../credentials-form.ts";
import { LoginPage } from "../pages/credentials-page.tsx";
import { provePassword } from "../prove-password.ts";
import { refuseBusy } from "../refuse-page.tsx";
import { refuseSession } from "../refuse-session.tsx";
import { returnInQuery, safeReturn } from "../return-address.ts";
import { startSession } from "../start-session.ts";
import type { PageEnv } from "../visitor.ts";

/** The same for a name that nobody has and for a disabled account: a login page is no directory. */
const WRONG = "User name or password is wrong.";

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
    const proof = await provePassword(c, name, form.password);
    if (proof.kind === "busy") return refuseBusy(c, proof);
    if (proof.kind === "wait") {
      c.header("Retry-After", String(proof.seconds));
      return refuse(c, form, 429, tooMany(proof.seconds));
    }
    if (proof.kind === "wrong") return refuse(c, form, 401, WRONG);
    const status = await startSession(c, proof.account, { newHash: proof.newHash, device: proof.device });
    // It was changed, disabled or deleted while its password was compared.
    if (status === Status.Denied) return refuse(c, form, 401, WRONG);
    if (status !== Status.Ok) return refuseSession(c, status);
    return c.redirect(form.returnTo, 303);
  });

function tooMany(seconds: number): string {
  return `Too many tries. Try again in ${seconds} seconds, or on a device where you have logged in before.`;
}

function refuse(c: Context<PageEnv>, { user, returnTo }: CredentialsForm, status: 401 | 429, message: string) {
  return c.html(<LoginPage visitor={c.get("visitor")} returnTo={returnTo} user={user} error={{ message }} />, status);
}
