import { Hono } from "hono";
import { BELOW_CHECK, readCheck } from "../../protocol/check/check-request.ts";
import {
  allowCheck,
  type CheckResponse,
  type Provenance,
  refuseByStatus,
  refuseCheck,
} from "../../protocol/check/check-response.ts";
import { grantsAllow, type Session } from "../../protocol/session-request.ts";
import { splitToken } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { type Isolate, openIsolate } from "../isolate.ts";
import { hashSecret } from "../session-store/secrets.ts";
import { MAX_CACHE_AGE_SECONDS } from "../session-store/session-cache.ts";
import { runOne } from "../session-store/session-store.ts";

/** Whose session a token is. */
interface Identity extends Provenance {
  /** null: there is no such session, or, with Unavailable, the store could not be asked. */
  readonly session: Session | null;
  readonly status: typeof Status.Ok | typeof Status.NotFound | typeof Status.Unavailable;
}

/** The provenance of a response that no session was looked up for. */
const WITHOUT_LOOKUP: Provenance = { source: "edge", ageSeconds: 0 };

/** `/v1/check`: may this client enter, here? Made to be called by proxies, with any method. A bridge answers it too, by the same rules. */
export const check = new Hono<AppEnv>().all("/", ({ env, req: { raw } }): Response | Promise<Response> => {
  const isolate = openIsolate(env);
  const { url, headers } = raw;
  const request = readCheck(url, (name) => headers.get(name));
  if (request.kind === "refused") return respond(refuseCheck(request.code, request.detail, WITHOUT_LOOKUP));
  const { sessid, secret } = splitToken(request.token);
  const cached = identifyByCache(isolate, sessid, secret, acceptedAgeSeconds(headers.get("Cache-Control")));
  if (cached !== undefined) return respondTo(cached, request.resource);
  return identifyByStore(isolate, sessid, secret).then((identity) => respondTo(identity, request.resource));
});
check.all("/*", () => respond(refuseCheck(BELOW_CHECK.code, BELOW_CHECK.detail, WITHOUT_LOOKUP)));

/**
 * How old a response may be, in seconds, 0..5: the `max-age` of a request's Cache-Control (RFC 9111 §5.2.1.1). 0 without one,
 * with one that is not a whole number, and with `no-cache` or `no-store`; the smallest of several.
 */
export function acceptedAgeSeconds(cacheControl: string | null): number {
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
  sessid: number,
  secret: Uint8Array<ArrayBuffer>,
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
async function identifyByStore(
  { cache, store }: Isolate,
  sessid: number,
  secret: Uint8Array<ArrayBuffer>,
): Promise<Identity> {
  const lookup = cache.begin(sessid, Date.now());
  const secretHash = await hashSecret(secret);
  const { status, session } = await runOne(store, { kind: "identify", sessid, secretHash });
  cache.put(lookup, session, secret);
  if (status === Status.Unavailable) return { session: null, status, source: "edge", ageSeconds: 0 };
  return { session, status: session === null ? Status.NotFound : Status.Ok, source: "store", ageSeconds: 0 };
}

function respondTo(identity: Identity, resource: string): Response {
  const { session, status } = identity;
  if (status !== Status.Ok) return respond(refuseByStatus(status, identity));
  // A browser has an anonymous session before its login.
  if (session === null || session.user === null) return respond(refuseByStatus(Status.NotFound, identity));
  if (resource !== "" && !grantsAllow(session.grants, resource))
    return respond(refuseByStatus(Status.Denied, identity));
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
  const response = respond(allowCheck({ sessid: session.sessid, user }, provenance));
  if (source === "edge") lastAllowed.set(session, { ageSeconds, response });
  return response;
}

/**
 * The headers are set together: in workerd a header that is set alone costs as much as a look into the cache
 * (docs/performance/optimisations.md).
 */
function respond({ status, headers, body }: CheckResponse): Response {
  return new Response(body, { status, headers });
}
