import type { Context, MiddlewareHandler } from "hono";
import type { Session } from "../../protocol/session-request.ts";
import { splitToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { addressKey, clientAddress } from "../http/client-address.ts";
import { cookieCredential, setSessionCookie } from "../http/client-credential.ts";
import { runOne } from "../session-store/session-store.ts";
import { type Account, Accounts, userOfAccount } from "./accounts.ts";
import { type KnownDevice, rememberDevice } from "./passwords.ts";

/** Who looks at a page, and whether somebody may make an account here (SIGNUP). */
export type Visitor = Identity & { readonly maySignUp: boolean };

type Identity =
  | { readonly kind: "user"; readonly user: string; readonly sessid: number }
  | { readonly kind: "anonymous" }
  /** The store could not be asked: who it is will be known later, and the cookie stays as it is. */
  | { readonly kind: "unknown" };

/** Hono's environment of the pages. */
export interface PageEnv extends AppEnv {
  Variables: AppEnv["Variables"] & { readonly visitor: Visitor };
}

/** How long the session of a first visit lives until its second request: most first visits are the last (bots). */
const FIRST_VISIT_IDLE_MS = 10 * 60 * 1000;

/**
 * Finds the visitor's session, and issues an anonymous one where there is none: for a new browser, and for a cookie that this
 * server did not issue or that has expired. Beyond NEW_VISITOR_LIMIT for an address, pages come without a session.
 */
export function loadVisitor(): MiddlewareHandler<PageEnv> {
  return async function loadVisitor(c, next) {
    const maySignUp = c.get("config").web.signup === "open";
    c.set("visitor", { kind: "unknown", maySignUp });
    c.set("visitor", { ...(await findVisitor(c)), maySignUp });
    return next();
  };
}

/** Whether the caller takes a page: false for one that accepts only JSON. */
export function acceptsHtml(c: Context): boolean {
  const accept = c.req.header("Accept");
  return accept === undefined || accept === "" || /text\/(?:html|\*)|application\/xhtml\+xml|\*\/\*/i.test(accept);
}

async function findVisitor(c: Context<PageEnv>): Promise<Identity> {
  const credential = await cookieCredential(c);
  if (credential !== undefined) {
    const { sessid, secretHash } = credential;
    const { status, session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash });
    if (status === Status.Unavailable) return { kind: "unknown" };
    if (session !== null) return session.user === null ? stayAnonymous(c, session) : userOf(session, session.user);
  }
  return isFirstVisit(c) ? welcome(c) : { kind: "anonymous" };
}

function userOf({ sessid }: Session, user: string): Identity {
  return { kind: "user", user, sessid };
}

/** A later request: from here on the session lives as long as any other. */
async function stayAnonymous(c: Context<PageEnv>, session: Session): Promise<Identity> {
  const { policy } = c.get("config");
  const normalMs = Math.min(policy.idleMs, policy.maxMs);
  if (session.expiresAt - session.createdAt < normalMs) {
    // Without a secret it keeps its token; and should it end in this moment, what is made anew has no token to show.
    const { sessid, ip } = session;
    await runOne(c.get("store"), { kind: "register", sessid, user: null, ip, grants: [], idleMs: policy.idleMs });
  }
  return { kind: "anonymous" };
}

/** A browser that opens a page. Not one that might never show it, and no program that asks for JSON. */
function isFirstVisit(c: Context<PageEnv>): boolean {
  const isAhead = /\bprefetch\b/.test(c.req.header("Sec-Purpose") ?? c.req.header("Purpose") ?? "");
  return c.req.raw.method === "GET" && acceptsHtml(c) && !isAhead;
}

async function welcome(c: Context<PageEnv>): Promise<Identity> {
  const ip = clientAddress(c, c.get("config"));
  const { success } = await c.env.NEW_VISITOR_LIMIT.limit({ key: addressKey(ip) });
  if (!success) return { kind: "anonymous" };
  const idleMs = Math.min(FIRST_VISIT_IDLE_MS, c.get("config").policy.idleMs);
  const issued = await runOne(c.get("store"), { kind: "issue", user: null, ip, grants: [], idleMs });
  if (issued.status !== Status.Ok) return { kind: "unknown" };
  setSessionCookie(c, issued.token);
  return { kind: "anonymous" };
}

export interface SessionStart {
  /** The password's hash, made anew with today's parameters. */
  readonly newHash?: string | undefined;
  /** Whether all sessions end that the account has. */
  readonly endsOthers?: boolean;
  /** The browser's device, where it was known before. */
  readonly device?: KnownDevice | undefined;
}

/**
 * Logs an account in: a new session takes the place of the one that the browser showed, whose id stops working, so that an
 * id which somebody fixed or saw before the login is worth nothing after it. The browser's device is known from now on. Without Ok the
 * cookies are as they were.
 *
 * Who changes, disables or deletes an account writes that first and ends its sessions then. Here the session comes first
 * and a look at the account then: one of the two sees the other. Denied: the account is not any more what it was when
 * `account` was read.
 */
export async function startSession(
  c: Context<PageEnv>,
  account: Account,
  { newHash, endsOthers = false, device }: SessionStart = {},
): Promise<Status> {
  const { store, config } = c.var;
  const user = userOfAccount(account.name);
  const shown = await cookieCredential(c);
  // The old one goes first: at a cap on the user's sessions it makes room.
  const responses = await store.run([
    ...(shown ? [{ kind: "delete", sessid: shown.sessid, secretHash: shown.secretHash } as const] : []),
    ...(endsOthers ? [{ kind: "deleteUser", user } as const] : []),
    { kind: "issue", user, ip: clientAddress(c, config), grants: account.grants ?? config.web.grants },
  ]);
  const issued = responses.at(-1);
  const isUncertain = responses.some(({ status }) => status === Status.Unavailable);
  if (issued?.kind !== "issue" || isUncertain) return Status.Unavailable;
  if (issued.status !== Status.Ok) return issued.status;
  if (!(await new Accounts(c.env.DB).recordLogin(account, Date.now(), newHash))) {
    const { sessid } = splitToken(issued.token);
    const { status } = await runOne(store, { kind: "delete", sessid, user });
    return status === Status.Unavailable ? status : Status.Denied;
  }
  await rememberDevice(c, account, device);
  setSessionCookie(c, issued.token);
  return Status.Ok;
}
