import type { Context, MiddlewareHandler } from "hono";
import type { Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { addressKey, clientAddress } from "../http/client-address.ts";
import { type ClientCredential, cookieCredential, setSessionCookie } from "../http/client-credential.ts";
import { runOne } from "../session-store/session-store.ts";

/** Who looks at a page, and whether somebody may make an account here (SIGNUP). */
export type Visitor = Identity & { readonly maySignUp: boolean };

type Identity =
  | { readonly kind: "user"; readonly user: string; readonly sessid: number }
  | { readonly kind: "anonymous" }
  /** The store could not be asked: who it is will be known later, and the cookie stays as it is. */
  | { readonly kind: "unknown" };

/** Hono's environment of the pages. */
export interface PageEnv extends AppEnv {
  Variables: AppEnv["Variables"] & {
    /** What the request's cookie says, whether or not the session lives. */
    readonly credential: ClientCredential | undefined;
    readonly visitor: Visitor;
  };
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
    c.set("credential", await cookieCredential(c));
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
  const credential = c.get("credential");
  if (credential !== undefined) {
    const { sessid, secretHash } = credential;
    const { status, session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash });
    if (status === Status.Unavailable) return { kind: "unknown" };
    if (session !== null) return session.user === null ? keepAnonymous(c, session) : userOf(session, session.user);
  }
  return isFirstVisit(c) ? issueAnonymousSession(c) : { kind: "anonymous" };
}

function userOf({ sessid }: Session, user: string): Identity {
  return { kind: "user", user, sessid };
}

/** A later request: from here on the session lives as long as any other. */
async function keepAnonymous(c: Context<PageEnv>, session: Session): Promise<Identity> {
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

async function issueAnonymousSession(c: Context<PageEnv>): Promise<Identity> {
  const ip = clientAddress(c, c.get("config"));
  const { success } = await c.env.NEW_VISITOR_LIMIT.limit({ key: addressKey(ip) });
  if (!success) return { kind: "anonymous" };
  const idleMs = Math.min(FIRST_VISIT_IDLE_MS, c.get("config").policy.idleMs);
  const issued = await runOne(c.get("store"), { kind: "issue", user: null, ip, grants: [], idleMs });
  if (issued.status !== Status.Ok) return { kind: "unknown" };
  setSessionCookie(c, issued.token);
  return { kind: "anonymous" };
}
