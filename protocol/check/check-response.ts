import {
  BEARER_CHALLENGE,
  PROBLEM_MEDIA_TYPE,
  PROBLEMS,
  type ProblemCode,
  problemDocument,
} from "../problem-document.ts";
import { Status } from "../status-codes.ts";
import { NO_VALID_TOKEN } from "./check-request.ts";

/**
 * Where the response to a check comes from. At the edge: its store, or its own memory (`edge`). At a bridge: the store through the
 * edge, its own memory under a lease (`lease`), or no session was looked up (`bridge`).
 */
export type CheckSource = "store" | "edge" | "lease" | "bridge";

/** The source of a response, and how old its information is. */
export interface Provenance {
  readonly source: CheckSource;
  readonly ageSeconds: number;
}

/** A response to a check. */
export interface CheckResponse {
  readonly status: number;
  readonly source: CheckSource;
  readonly headers: Readonly<Record<string, string>>;
  /** null: none. */
  readonly body: string | null;
}

/** The session that may enter. */
export interface AllowedSession {
  readonly sessid: number;
  readonly user: string;
}

/** The headers of every response, for browsers that see it. */
const HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Strict-Transport-Security": "max-age=15552000; includeSubDomains",
  "X-Content-Type-Options": "nosniff",
} as const;

/** The response that lets a client in: the site behind the proxy learns who it is. The user is percent-encoded UTF-8. */
export function allowCheck({ sessid, user }: AllowedSession, { source, ageSeconds }: Provenance): CheckResponse {
  const headers = {
    ...HEADERS,
    "X-Check-Source": source,
    Age: String(ageSeconds),
    "X-Session-Id": String(sessid),
    "X-Session-User": encodeURIComponent(user),
  };
  return { status: 200, source, headers, body: null };
}

/** A response that lets nobody in: a problem document. */
export function refuseCheck(
  code: ProblemCode,
  detail: string | undefined,
  { source, ageSeconds }: Provenance,
): CheckResponse {
  const { status } = PROBLEMS[code];
  const headers = {
    ...HEADERS,
    "X-Check-Source": source,
    Age: String(ageSeconds),
    "Content-Type": PROBLEM_MEDIA_TYPE,
    ...(status === 401 && { "WWW-Authenticate": BEARER_CHALLENGE }),
  };
  return { status, source, headers, body: problemDocument(code, detail) };
}

/**
 * The refusal by the status of a lookup other than Ok. An anonymous session, which a browser has before its login, counts as none:
 * it is NotFound.
 */
export function refuseByStatus(status: Status, provenance: Provenance): CheckResponse {
  if (status === Status.NotFound) return refuseCheck("unauthenticated", NO_VALID_TOKEN, provenance);
  if (status === Status.Denied) return refuseCheck("denied", "the session lacks the grant", provenance);
  return refuseCheck("unavailable", undefined, provenance);
}
