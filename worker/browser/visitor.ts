import type { Context, MiddlewareHandler } from "hono";
import type { Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { addressKey, clientAddress } from "../http/client-address.ts";
import { type ClientCredential, cookieCredential, setSessionCookie } from "../http/client-credential.ts";
import { runOne } from "../session-store/session-store.ts";

/** Who requests a page, and whether new accounts can be created (SIGNUP). */
export type Visitor = Identity & { readonly maySignUp: boolean };

type Identity =
  | { readonly kind: "user"; readonly user: string; readonly sessid: number; readonly grants: readonly string[] }
  | { readonly kind: "anonymous" }
  /** The store could not be asked. The cookie stays as it is. */
  | { readonly kind: "unknown" };

/** Hono's environment of the pages. */
export interface PageEnv extends AppEnv {
  Variables: AppEnv["Variables"] & {
    /** The session token of the request's cookie, whether or not the session lives. */
    readonly credential: ClientCredential | undefined;
    readonly visitor: Visitor;
  };
}

/** Idle lifetime of a session until its second request: most first visits are bots, which send no second one. */
const FIRST_VISIT_IDLE_MS = 10 * 60 * 1000;

/**
 * Looks up the visitor's session. A browser without one, or with a cookie that is forged or expired, gets an anonymous
 * session; beyond NEW_VISITOR_LIMIT for its address, a page without a session.
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

/** Whether the request changes nothing. */
export function isRead(c: Context): boolean {
  return ["GET", "HEAD", "OPTIONS"].includes(c.req.method);
}

/**
 * What a session with these grants may do in the console; undefined: nothing. Only the exact texts count: a session that a service
 * creates without grants has "*", and a player is no operator.
 */
export function consoleRight(grants: readonly string[] = []): "read" | "write" | undefined {
  if (grants.includes("console:write")) return "write";
  return grants.includes("console") ? "read" : undefined;
}

/** Whether the client accepts a page, not only JSON. */
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

function userOf({ sessid, grants }: Session, user: string): Identity {
  return { kind: "user", user, sessid, grants };
}

/** From its second request on, an anonymous session lives as long as any other. */
async function keepAnonymous(c: Context<PageEnv>, session: Session): Promise<Identity> {
  const { policy } = c.get("config");
  const normalMs = Math.min(policy.idleMs, policy.maxMs);
  if (session.expiresAt - session.createdAt < normalMs) {
    // A register without a secret keeps the session's token. If the session ends just now, the new one has no token at all.
    const { sessid, ip } = session;
    await runOne(c.get("store"), { kind: "register", sessid, user: null, ip, grants: [], idleMs: policy.idleMs });
  }
  return { kind: "anonymous" };
}

/** Whether a browser opens a page: no prefetch, which may never be shown, and no program that wants JSON. */
function isFirstVisit(c: Context<PageEnv>): boolean {
  const isPrefetch = /\bprefetch\b/.test(c.req.header("Sec-Purpose") ?? c.req.header("Purpose") ?? "");
  return c.req.raw.method === "GET" && acceptsHtml(c) && !isPrefetch;
}

async function issueAnonymousSession(c: Context<PageEnv>): Promise<Identity> {
  const ip = clientAddress(c, c.get("config"));
  const { success } = await c.env.NEW_VISITOR_LIMIT.limit({ key: await addressKey(ip) });
  if (!success) return { kind: "anonymous" };
  const idleMs = Math.min(FIRST_VISIT_IDLE_MS, c.get("config").policy.idleMs);
  const issued = await runOne(c.get("store"), { kind: "issue", user: null, ip, grants: [], idleMs });
  if (issued.status !== Status.Ok) return { kind: "unknown" };
  setSessionCookie(c, issued.token);
  return { kind: "anonymous" };
}
