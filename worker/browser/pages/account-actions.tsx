import { type Context, Hono } from "hono";
import * as v from "valibot";
import type { DeleteRequest, DeleteUserRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { clientAddress, networkKey } from "../../http/client-address.ts";
import { clearSessionCookie } from "../../http/client-credential.ts";
import { readForm } from "../../http/form-body.ts";
import { SessidText } from "../../http/schemas.ts";
import { runOne } from "../../session-store/session-store.ts";
import { type Account, Accounts, accountOfUser, canBePassword, endAccount, isAllowedPassword } from "../accounts.ts";
import { choosePassword, type PasswordProof, provePassword, startSession } from "../login.ts";
import type { PageEnv } from "../visitor.ts";
import {
  DeletionPage,
  EndSessionsPage,
  type PasswordChangeError,
  type PasswordError,
  PasswordPage,
} from "./account-action-forms.tsx";
import { askForLogin, MessagePage, refuseBusy, refusePage, refuseUnknown } from "./refuse-page.tsx";

const WRONG = "This is not your password.";
const NOT_ALLOWED = "This password cannot be used. See below what is allowed.";
const COMMON = "Many people use this password, so it is tried first. Choose another.";
const NOT_THE_SAME = "The new password was not typed the same twice.";

/** Below `/me`: what the owner of an account may do. All but logging out asks for the password. */
export const accountActions = new Hono<PageEnv>()
  .post("/sessions/end", endSession)
  .post("/sessions/end-others", forOwner(endOthers))
  .get("/password", forOwner(showPasswordPage))
  .post("/password", forOwner(changePassword))
  .get("/delete", forOwner(showDeletionPage))
  .post("/delete", forOwner(deleteAccount));

/** A handler that gets the visitor's account; visitors without one are refused. */
function forOwner(handle: (c: Context<PageEnv>, account: Account) => Response | Promise<Response>) {
  return async function forOwner(c: Context<PageEnv>): Promise<Response> {
    const visitor = c.get("visitor");
    if (visitor.kind !== "user") return askForLogin(c, visitor, "/me");
    const name = accountOfUser(visitor.user);
    const account = name === undefined ? null : await new Accounts(c.env.DB).find(name);
    if (account !== null) return handle(c, account);
    return refusePage(c, "not_found", "No account", "You are logged in by a service, which keeps no account here.");
  };
}

/**
 * Ends the session of this browser as a logout does. Ending another one takes the password: a stranger at an open browser
 * must not lock its owner out.
 */
async function endSession(c: Context<PageEnv>): Promise<Response> {
  const visitor = c.get("visitor");
  if (visitor.kind !== "user") return askForLogin(c, visitor, "/me");
  const { user, sessid: own } = visitor;
  const wanted = v.safeParse(SessidText, (await readForm(c))("sessid"));
  if (!wanted.success) return refusePage(c, "invalid", "Not a session", "sessid: the number of one of your sessions");
  const sessid = wanted.output;
  if (sessid !== own) {
    return forOwner((_, account) => endAfterProof(c, account, { kind: "delete", sessid, user }))(c);
  }
  const { status } = await runOne(c.get("store"), { kind: "delete", sessid, user });
  if (status === Status.Unavailable) return refuseUnknown(c);
  clearSessionCookie(c);
  return c.redirect("/", 303);
}

/** Keeps this session as it is: a new one in its place would live longer than SESSION_MAX_SECONDS after the login. */
async function endOthers(c: Context<PageEnv>, account: Account): Promise<Response> {
  const visitor = c.get("visitor");
  if (visitor.kind !== "user") return askForLogin(c, visitor, "/me");
  return endAfterProof(c, account, { kind: "deleteUser", user: visitor.user, except: visitor.sessid });
}

/** Ends other sessions of the owner. The form of `/me` has no password: the response is then the page that asks for it. */
async function endAfterProof(
  c: Context<PageEnv>,
  account: Account,
  request: DeleteRequest | DeleteUserRequest,
): Promise<Response> {
  const form = await readForm(c);
  const show = (status: PageStatus, error?: PasswordError) => {
    const sessid = request.kind === "delete" ? request.sessid : undefined;
    return c.html(
      <EndSessionsPage visitor={c.get("visitor")} name={account.name} sessid={sessid} error={error} />,
      status,
    );
  };
  if (form("password") === "") return show(200);
  const proved = await proveOwner(c, account, form("password"), (status, message) =>
    show(status, { field: "password", message }),
  );
  if (proved instanceof Response) return proved;
  const { status } = await runOne(c.get("store"), request);
  if (status === Status.Unavailable) return refuseUnknown(c);
  if (status === Status.Denied) return refusePage(c, "denied", "Not yours", "You can end your own sessions only.");
  // NotFound is fine: the session has ended meanwhile.
  return c.redirect("/me", 303);
}

async function changePassword(c: Context<PageEnv>, account: Account): Promise<Response> {
  const form = await readForm(c);
  const password = form("password");
  // What needs no hash is checked first.
  if (!isAllowedPassword(password))
    return showPasswordPage(c, account, 400, { field: "password", message: NOT_ALLOWED });
  if (form("again") !== password) return showPasswordPage(c, account, 400, { field: "again", message: NOT_THE_SAME });
  const proved = await proveOwner(c, account, form("current"), (status, message) =>
    showPasswordPage(c, account, status, { field: "current", message }),
  );
  if (proved instanceof Response) return proved;
  const network = await networkKey(clientAddress(c, c.var.config));
  const chosen = await choosePassword(c.env.PASSWORD_HASHER, password, network);
  if (chosen.kind === "common") return showPasswordPage(c, account, 400, { field: "password", message: COMMON });
  if (chosen.kind === "busy") return refuseBusy(c, chosen);
  const changed = await new Accounts(c.env.DB).changePassword(proved.account, chosen.hash);
  if (changed === null) return refuseChanged(c);
  const status = await startSession(c, changed, { endsOthers: true, device: proved.device });
  if (status === Status.Ok) return c.redirect("/me", 303);
  if (status === Status.Denied) return refuseChanged(c);
  const text = "Your password was changed, but not every session could be ended. Log in and end all others.";
  return refusePage(c, "unavailable", "Not all was done", text);
}

async function deleteAccount(c: Context<PageEnv>, account: Account): Promise<Response> {
  const form = await readForm(c);
  const proved = await proveOwner(c, account, form("password"), (status, message) =>
    showDeletionPage(c, account, status, { field: "password", message }),
  );
  if (proved instanceof Response) return proved;
  const end = await endAccount(c.get("store"), account.name, () =>
    new Accounts(c.env.DB).deleteUnchanged(proved.account),
  );
  if (end.kind === "unavailable") {
    return refusePage(c, "unavailable", "Not now", "Your account could not be deleted at the moment. Try again soon.");
  }
  if (end.kind === "not_found") return refuseChanged(c);
  clearSessionCookie(c);
  const visitor = { kind: "anonymous", maySignUp: c.get("visitor").maySignUp } as const;
  const text = "Your account is deleted, and all your sessions have ended.";
  return c.html(<MessagePage visitor={visitor} title="Good-bye" text={text} />);
}

type RightPassword = Extract<PasswordProof, { kind: "right" }>;

/** The account, if the password is right; otherwise the refusal. */
async function proveOwner(
  c: Context<PageEnv>,
  { name }: Account,
  password: string,
  show: (status: 403 | 429, message: string) => Response | Promise<Response>,
): Promise<RightPassword | Response> {
  if (!canBePassword(password)) return show(403, WRONG);
  const proof = await provePassword(c, name, password);
  if (proof.kind === "right") return proof;
  if (proof.kind === "busy") return refuseBusy(c, proof);
  if (proof.kind === "wrong") return show(403, WRONG);
  c.header("Retry-After", String(proof.seconds));
  return show(429, `Too many tries. Try again in ${proof.seconds} seconds.`);
}

/** The refusal if the account was changed, disabled or deleted during the request: its sessions have ended. */
function refuseChanged(c: Context<PageEnv>): Response | Promise<Response> {
  clearSessionCookie(c);
  const text = "Your account was changed at the same time in another place. Log in again, then look at it.";
  return refusePage(c, "conflict", "Changed meanwhile", text);
}

type PageStatus = 200 | 400 | 403 | 429;

function showPasswordPage(
  c: Context<PageEnv>,
  { name }: Account,
  status: PageStatus = 200,
  error?: PasswordChangeError,
): Response | Promise<Response> {
  return c.html(<PasswordPage visitor={c.get("visitor")} name={name} error={error} />, status);
}

function showDeletionPage(
  c: Context<PageEnv>,
  { name }: Account,
  status: PageStatus = 200,
  error?: PasswordError,
): Response | Promise<Response> {
  return c.html(<DeletionPage visitor={c.get("visitor")} name={name} error={error} />, status);
}
