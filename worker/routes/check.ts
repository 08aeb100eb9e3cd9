import { type Context, Hono } from "hono";
import { grantsAllow, type Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { type CheckedResource, checkedResource } from "../http/checked-resource.ts";
import { clientToken } from "../http/client-credential.ts";
import { type Identity, identifyClient, recallClient } from "../http/identify-client.ts";
import { allowedAgeSeconds } from "../http/max-age.ts";
import { type ProblemCode, problem } from "../http/problem.ts";
import { openIsolate } from "../isolate.ts";

/**
 * What every answer says to a browser that meets it; few, and set at once with the rest: in workerd each header that is
 * set on its own costs as much as a look into the memory (docs/performance.md).
 */
const HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Strict-Transport-Security": "max-age=15552000; includeSubDomains",
  "X-Content-Type-Options": "nosniff",
} as const;

/** Where the knowledge behind an answer comes from, and how old it is. */
type Knowledge = Pick<Identity, "source" | "ageSeconds">;

type AllowedResource = Exclude<CheckedResource, { kind: "refused" }>;

/** By what the isolate remembers of a session; it forgets one with the other. */
const lastAdmissions = new WeakMap<Session, { readonly ageSeconds: number; readonly response: Response }>();

const NOTHING_ASKED: Knowledge = { source: "edge", ageSeconds: 0 };

/**
 * `/v1/check`: may this client enter, here? Made to be called by proxies, with any method.
 *
 * Nothing is asked below it. A proxy that put the protected path there would let its client choose the route: `..` in it is
 * gone before a Worker sees it, on Cloudflare and in most proxies.
 */
export const check = new Hono<AppEnv>().all("/", (c): Response | Promise<Response> => {
  const opened = openIsolate(c.env);
  const token = clientToken(c);
  if (token === undefined) return unauthenticated(c, NOTHING_ASKED);
  const resource = checkedResource(c.req.raw);
  if (resource.kind === "refused") return refused(c, NOTHING_ASKED, "denied", resource.reason);
  const remembered = recallClient(opened, token, allowedAgeSeconds(c.req.header("Cache-Control")));
  if (remembered !== undefined) return answer(c, remembered, resource);
  return identifyClient(opened, token).then((identity) => answer(c, identity, resource));
});
check.all("/*", (c) =>
  refused(c, NOTHING_ASKED, "denied", "the resource is named by X-Original-URI, not in this path"),
);

function answer(c: Context<AppEnv>, identity: Identity, resource: AllowedResource): Response {
  const { session, status } = identity;
  if (status === Status.Unavailable) return refused(c, identity, "unavailable");
  // A browser before its login has a session, but nobody has logged in.
  if (session === null || session.user === null) return unauthenticated(c, identity);
  if (resource.kind === "named" && !grantsAllow(session.grants, resource.name)) {
    return refused(c, identity, "denied", "the session lacks the grant");
  }
  return admission(identity, session, session.user);
}

/**
 * The yes. One from memory goes out many times, so nothing may change it on its way; it has no body that could be used up.
 * To make it anew would be a ninth of what such an answer costs (docs/performance.md).
 */
function admission(identity: Identity, session: Session, user: string): Response {
  const { source, ageSeconds } = identity;
  const last = source === "edge" ? lastAdmissions.get(session) : undefined;
  if (last?.ageSeconds === ageSeconds) return last.response;
  const who = { "X-Session-Id": String(session.sessid), "X-Session-User": encodeURIComponent(user) };
  const response = new Response(null, { headers: { ...HEADERS, ...whence(identity), ...who } });
  if (source === "edge") lastAdmissions.set(session, { ageSeconds, response });
  return response;
}

function unauthenticated(c: Context<AppEnv>, knowledge: Knowledge): Response {
  return refused(c, knowledge, "unauthenticated", "a valid session token is needed");
}

function refused(c: Context<AppEnv>, knowledge: Knowledge, code: ProblemCode, detail?: string): Response {
  for (const [name, value] of Object.entries({ ...HEADERS, ...whence(knowledge) })) c.header(name, value);
  return problem(c, code, detail);
}

function whence({ source, ageSeconds }: Knowledge) {
  return { "X-Check-Source": source, Age: String(ageSeconds) };
}
