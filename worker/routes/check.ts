import { type Context, Hono } from "hono";
import { grantsAllow, type Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { type CheckedResource, checkedResource } from "../http/checked-resource.ts";
import { type ClientToken, clientToken } from "../http/client-credential.ts";
import { type ProblemCode, problem } from "../http/problem.ts";
import { type Isolate, openIsolate } from "../isolate.ts";
import { hashSecret } from "../session-store/secrets.ts";
import { MAX_CACHE_AGE_SECONDS } from "../session-store/session-cache.ts";
import { runOne } from "../session-store/session-store.ts";

/**
 * The headers of every response, for browsers that see it. They are few and set together: in workerd a header that is set
 * alone costs as much as a look into the cache (docs/performance/optimisations.md).
 */
const HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Strict-Transport-Security": "max-age=15552000; includeSubDomains",
  "X-Content-Type-Options": "nosniff",
} as const;

/** Where a response comes from, and how old it is. */
interface Provenance {
  readonly source: "store" | "edge";
  readonly ageSeconds: number;
}

/** Whose session a token is. */
interface Identity extends Provenance {
  /** null: there is no such session, or, with Unavailable, the store could not be asked. */
  readonly session: Session | null;
  readonly status: typeof Status.Ok | typeof Status.NotFound | typeof Status.Unavailable;
}

type AllowedResource = Exclude<CheckedResource, { kind: "refused" }>;

/** The provenance of a response that no session was looked up for. */
const WITHOUT_LOOKUP: Provenance = { source: "edge", ageSeconds: 0 };

/**
 * `/v1/check`: may this client enter, here? Made to be called by proxies, with any method.
 *
 * Paths below it are refused. A proxy that put the protected path there would let its client choose the route: on Cloudflare
 * and in most proxies, `..` in a path is resolved before a Worker sees it.
 */
export const check = new Hono<AppEnv>().all("/", (c): Response | Promise<Response> => {
  const isolate = openIsolate(c.env);
  const token = clientToken(c);
  if (token === undefined) return unauthenticated(c, WITHOUT_LOOKUP);
  const resource = checkedResource(c.req.raw);
  if (resource.kind === "refused") return refuse(c, WITHOUT_LOOKUP, "denied", resource.reason);
  const cached = identifyByCache(isolate, token, acceptedAgeSeconds(c.req.header("Cache-Control")));
  if (cached !== undefined) return respond(c, cached, resource);
  return identifyByStore(isolate, token).then((identity) => respond(c, identity, resource));
});
check.all("/*", (c) =>
  refuse(c, WITHOUT_LOOKUP, "denied", "the resource is named by X-Original-URI, not in this path"),
);

/**
 * How old a response may be, in seconds, 0..5: the `max-age` of a request's Cache-Control (RFC 9111 §5.2.1.1). 0 without one,
 * with one that is not a whole number, and with `no-cache` or `no-store`; the smallest of several.
 */
export function acceptedAgeSeconds(cacheControl: string | undefined): number {
  const directives = (cacheControl ?? "")
    .toLowerCase()
    .split(",")
    .map((directive) => directive.trim());
  if (directives.includes("no-cache") || directives.includes("no-store")) return 0;
  const ages = directives
    .filter((directive) => directive.startsWith("max-age"))
    .map((directive) => /^max-age="?(\d{1,10})"?$/.exec(directive)?.[1] ?? "0")
    .map(Number);
  return ages.length === 0 ? 0 : Math.min(MAX_CACHE_AGE_SECONDS, ...ages);
}

/** Identifies a client by the cache, if that has an entry at most `maxAgeSeconds` old. */
function identifyByCache(
  { cache }: Isolate,
  { sessid, secret }: ClientToken,
  maxAgeSeconds: number,
): Identity | undefined {
  // Most callers accept no age.
  if (maxAgeSeconds === 0) return undefined;
  const now = Date.now();
  const entry = cache.get(sessid, secret, maxAgeSeconds * 1000, now);
  if (entry === undefined) return undefined;
  const ageSeconds = Math.floor((now - entry.askedAt) / 1000);
  return { session: entry.session, status: Status.Ok, source: "edge", ageSeconds };
}

/** Identifies a client by the store, and caches its session. */
async function identifyByStore({ cache, store }: Isolate, { sessid, secret }: ClientToken): Promise<Identity> {
  const lookup = cache.begin(sessid, Date.now());
  const secretHash = await hashSecret(secret);
  const { status, session } = await runOne(store, { kind: "identify", sessid, secretHash });
  cache.put(lookup, session, secret);
  if (status === Status.Unavailable) return { session: null, status, source: "edge", ageSeconds: 0 };
  return { session, status: session === null ? Status.NotFound : Status.Ok, source: "store", ageSeconds: 0 };
}

function respond(c: Context<AppEnv>, identity: Identity, resource: AllowedResource): Response {
  const { session, status } = identity;
  if (status === Status.Unavailable) return refuse(c, identity, "unavailable");
  // A browser has an anonymous session before its login.
  if (session === null || session.user === null) return unauthenticated(c, identity);
  if (resource.kind === "named" && !grantsAllow(session.grants, resource.name)) {
    return refuse(c, identity, "denied", "the session lacks the grant");
  }
  return allow(identity, session, session.user);
}

/** The last response for each session of the cache; it goes when the session does. */
const lastAllowed = new WeakMap<Session, { readonly ageSeconds: number; readonly response: Response }>();

/**
 * The response that lets the client in. One from the cache is sent many times, so nothing may change it on its way; it has
 * no body that could be used up. Building another one would take a ninth of such a check's time (docs/performance/optimisations.md).
 */
function allow(provenance: Provenance, session: Session, user: string): Response {
  const { source, ageSeconds } = provenance;
  const last = source === "edge" ? lastAllowed.get(session) : undefined;
  if (last?.ageSeconds === ageSeconds) return last.response;
  const client = { "X-Session-Id": String(session.sessid), "X-Session-User": encodeURIComponent(user) };
  const response = new Response(null, { headers: { ...HEADERS, ...provenanceHeaders(provenance), ...client } });
  if (source === "edge") lastAllowed.set(session, { ageSeconds, response });
  return response;
}

function unauthenticated(c: Context<AppEnv>, provenance: Provenance): Response {
  return refuse(c, provenance, "unauthenticated", "a valid session token is needed");
}

function refuse(c: Context<AppEnv>, provenance: Provenance, code: ProblemCode, detail?: string): Response {
  for (const [name, value] of Object.entries({ ...HEADERS, ...provenanceHeaders(provenance) })) c.header(name, value);
  return problem(c, code, detail);
}

function provenanceHeaders({ source, ageSeconds }: Provenance) {
  return { "X-Check-Source": source, Age: String(ageSeconds) };
}
