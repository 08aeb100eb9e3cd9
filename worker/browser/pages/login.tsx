import { type Context, Hono } from "hono";
import { Status } from "../../../protocol/status-codes.ts";
import { clearSessionCookie, requestHost } from "../../http/client-credential.ts";
import { readForm } from "../../http/form-body.ts";
import { runOne } from "../../session-store/session-store.ts";
import { accountName, canBePassword, NAME_RULE, PASSWORD_RULE } from "../accounts.ts";
import { provePassword, startSession } from "../login.ts";
import type { PageEnv, Visitor } from "../visitor.ts";
import { displayName, type FormError, FormField, FormMessage, Layout } from "./layout.tsx";
import { refuseBusy, refusePage, refuseSession } from "./refuse-page.tsx";

/** The same message if the account does not exist or is disabled, so that nobody can find out which accounts exist. */
const WRONG = "User name or password is wrong.";

/** `/login` */
export const login = new Hono<PageEnv>()
  .get("/", (c) => c.html(<LoginPage visitor={c.get("visitor")} returnTo={requestedReturn(c)} />))
  .post("/", async (c) => {
    const form = await readCredentials(c);
    const name = accountName(form.user);
    if (name === undefined || !canBePassword(form.password)) return refuse(c, form, 401, WRONG);
    const proof = await provePassword(c, name, form.password);
    if (proof.kind === "busy") return refuseBusy(c, proof);
    if (proof.kind === "wait") {
      c.header("Retry-After", String(proof.seconds));
      return refuse(c, form, 429, tooManyTries(proof.seconds));
    }
    if (proof.kind === "wrong") return refuse(c, form, 401, WRONG);
    const status = await startSession(c, proof.account, { newHash: proof.newHash, device: proof.device });
    // The account was changed, disabled or deleted while the password was compared.
    if (status === Status.Denied) return refuse(c, form, 401, WRONG);
    if (status !== Status.Ok) return refuseSession(c, status);
    return c.redirect(form.returnTo, 303);
  });

/** `/logout`: ends the session in the store, then removes the cookie. */
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

function tooManyTries(seconds: number): string {
  return `Too many tries. Try again in ${seconds} seconds, or on a device where you have logged in before.`;
}

function refuse(c: Context<PageEnv>, { user, returnTo }: Credentials, status: 401 | 429, message: string) {
  return c.html(<LoginPage visitor={c.get("visitor")} returnTo={returnTo} user={user} error={{ message }} />, status);
}

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

/** What is wrong with a login or a sign-up. */
export type CredentialsError = FormError<"user" | "password">;

/** What the pages of login and sign-up show. */
export interface CredentialsPageProps {
  readonly visitor: Visitor;
  /** The page to go to afterwards, a path of this site. */
  readonly returnTo: string;
  /** What was typed as the user name, after a refusal. */
  readonly user?: string;
  readonly error?: CredentialsError;
}

interface CredentialsFormProps extends CredentialsPageProps {
  readonly action: string;
  readonly passwordKind: "current-password" | "new-password";
  readonly submit: string;
}

/** The form of login and sign-up. */
export function CredentialsForm({ action, passwordKind, submit, returnTo, user, error }: CredentialsFormProps) {
  const isNew = passwordKind === "new-password";
  // After a refusal the cursor is in the field that is wrong.
  const focus = error?.field ?? (error === undefined || user === "" ? "user" : "password");
  return (
    <form method="post" action={action} class="credentials">
      <FormMessage error={error} />
      <FormField
        name="user"
        label="User name"
        autocomplete="username"
        rule={isNew ? NAME_RULE : undefined}
        value={user ?? ""}
        focus={focus === "user"}
        error={error}
      />
      <FormField
        name="password"
        label="Password"
        autocomplete={passwordKind}
        rule={isNew ? PASSWORD_RULE : undefined}
        focus={focus === "password"}
        error={error}
      />
      <input type="hidden" name="return" value={returnTo} />
      <button type="submit">{submit}</button>
    </form>
  );
}

/** What the form of login and sign-up sends; a field that is missing or no text is empty. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
  /** A path of this site. */
  readonly returnTo: string;
}

/** Reads a {@link CredentialsForm}. */
export async function readCredentials(c: Context): Promise<Credentials> {
  const text = await readForm(c);
  return { user: text("user"), password: text("password"), returnTo: safeReturn(text("return"), requestHost(c)) };
}

/** The path of this site that the page's address asks to go to afterwards. */
export function requestedReturn(c: Context): string {
  return safeReturn(returnInQuery(c.req.url), requestHost(c));
}

/** A path with its query, such as `/me?tab=1`, is not that long in practice. */
const MAX_RETURN_CHARACTERS = 2048;

/** Stands for this site while an address is resolved; `.invalid` belongs to nobody (RFC 6761). */
const THIS_SITE = "https://this-site.invalid";

/** Where to go after a login if the request names no page. */
const MAIN_PAGE = "/";

/**
 * The `return` of a query, percent-encoded as in any form. A value that begins with a plain `/` is not encoded and extends to
 * the end: a proxy that cannot encode sends `/login?return=$request_uri`.
 */
export function returnInQuery(requestUrl: string): string {
  const raw = /[?&]return=([^#]*)/.exec(requestUrl)?.[1] ?? "";
  return raw.startsWith("/") ? raw : (new URLSearchParams(`return=${raw}`).get("return") ?? "");
}

/**
 * The path of this site to go to; the main page if `wanted` is another site, in whatever spelling, or the login itself.
 * `host` is this site's: Traefik writes an absolute address of it.
 */
export function safeReturn(wanted: string, host: string): string {
  if (wanted.length > MAX_RETURN_CHARACTERS) return MAIN_PAGE;
  const address = parseReturn(wanted, host);
  if (address === null) return MAIN_PAGE;
  const path = address.pathname + address.search;
  // "/.//other.example" is resolved to a path that a browser takes for another site.
  if (path.startsWith("//") || /^\/(?:login|signup|logout)\/?$/.test(address.pathname)) return MAIN_PAGE;
  return path;
}

function parseReturn(wanted: string, host: string): URL | null {
  if (/^https?:\/\//.test(wanted)) {
    const absolute = URL.parse(wanted);
    return absolute?.host === host ? absolute : null;
  }
  if (!wanted.startsWith("/")) return null;
  // The parser reads backslashes, tabs and newlines as browsers do: an address that leaves the site has another origin.
  const address = URL.parse(wanted, THIS_SITE);
  return address?.origin === THIS_SITE ? address : null;
}
