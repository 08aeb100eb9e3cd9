import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { clearSessionCookie } from "../../http/client-credential.ts";
import { requestHost } from "../../http/host.ts";
import { runOne } from "../../session-store/session-store.ts";
import { accountName, canBePassword } from "../accounts.ts";
import { provePassword, startSession } from "../login.ts";
import type { PageEnv } from "../visitor.ts";
import {
  type Credentials,
  CredentialsForm,
  type CredentialsPageProps,
  readCredentials,
  returnInQuery,
  safeReturn,
} from "./credentials-form.tsx";
import { displayName, Layout } from "./layout.tsx";
import { refuseBusy, refusePage, refuseSession } from "./refuse-page.tsx";

/** The same for a name that nobody has and for a disabled account: a login page is no directory. */
const WRONG = "User name or password is wrong.";

/** `/login` */
export const login = new Hono<PageEnv>()
  .get("/", (c) => {
    const returnTo = safeReturn(returnInQuery(c.req.url), requestHost(c));
    return c.html(<LoginPage visitor={c.get("visitor")} returnTo={returnTo} />);
  })
  .post("/", async (c) => {
    const form = await readCredentials(c);
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

function refuse(c: Context<PageEnv>, { user, returnTo }: Credentials, status: 401 | 429, message: string) {
  return c.html(<LoginPage visitor={c.get("visitor")} returnTo={returnTo} user={user} error={{ message }} />, status);
}

/** The login page. */
function LoginPage(props: CredentialsPageProps) {
  const { visitor, returnTo } = props;
  return (
    <Layout title="Log in" visitor={visitor}>
      <h1>Log in</h1>
      {visitor.kind === "user" && (
        <p class="notice" role="status">
          You are logged in as {displayName(visitor.user)}. <a href={returnTo}>Go on</a>, or log in as somebody else.
        </p>
      )}
      <CredentialsForm {...props} action="/login" passwordKind="current-password" submit="Log in" />
      {visitor.maySignUp && (
        <p>
          No account yet? <a href={`/signup?return=${encodeURIComponent(returnTo)}`}>Sign up</a>
        </p>
      )}
    </Layout>
  );
}

/** `/logout`: the session ends at the server, then the browser forgets it. */
export const logout = new Hono<PageEnv>()
  .get("/", (c) => c.redirect("/", 303))
  .post("/", async (c) => {
    const credential = c.get("credential");
    if (credential !== undefined) {
      const { sessid, secretHash } = credential;
      const { status } = await runOne(c.get("store"), { kind: "delete", sessid, secretHash });
      if (status === Status.Unavailable) {
        return refusePage(c, "unavailable", "Still logged in", "You could not be logged out at the moment. Try again.");
      }
    }
    clearSessionCookie(c);
    return c.redirect("/", 303);
  });
