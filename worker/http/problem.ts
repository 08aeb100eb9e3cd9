import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import * as v from "valibot";
import { Status } from "../../protocol/status-codes.ts";

/** The stable codes of problems and their HTTP status. Clients depend on the code, never on a title or a detail. */
export const PROBLEMS = {
  invalid: { status: 400, title: "The request is not valid" },
  unauthenticated: { status: 401, title: "No valid credential" },
  denied: { status: 403, title: "Not allowed" },
  not_found: { status: 404, title: "Not found" },
  too_slow: { status: 408, title: "The request did not arrive in time" },
  conflict: { status: 409, title: "In conflict with what there is" },
  too_large: { status: 413, title: "The request is too large" },
  too_many: { status: 429, title: "A limit was reached" },
  unavailable: { status: 503, title: "The session store could not be asked in time" },
  not_configured: { status: 503, title: "This server is not configured for that" },
} as const satisfies Record<string, { status: ContentfulStatusCode; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** The body of every error (RFC 9457). */
export const Problem = v.object({
  type: v.literal("about:blank"),
  title: v.string(),
  status: v.pipe(v.number(), v.integer()),
  code: v.picklist(Object.keys(PROBLEMS) as ProblemCode[]),
  detail: v.optional(v.string()),
});

/**
 * An error response: `application/problem+json` (RFC 9457) with a stable `code`. `detail` names the field and what is
 * allowed; never put a stack, a command or an id that the caller did not send into it.
 */
export function problem(c: Context, code: ProblemCode, detail?: string): Response {
  const { status, title } = PROBLEMS[code];
  if (status === 401) c.header("WWW-Authenticate", 'Bearer realm="artoria"');
  c.header("Cache-Control", "no-store");
  return c.body(JSON.stringify({ type: "about:blank", title, status, code, detail }), status, {
    "Content-Type": "application/problem+json",
  });
}

const CODE_OF_STATUS = {
  [Status.NotFound]: "not_found",
  [Status.Denied]: "denied",
  [Status.Conflict]: "conflict",
  [Status.Invalid]: "invalid",
  [Status.Unavailable]: "unavailable",
  [Status.TooMany]: "too_many",
} as const satisfies Record<number, ProblemCode>;

/** The error response to a store's verdict other than Ok. */
export function statusProblem(c: Context, status: Exclude<Status, typeof Status.Ok>, detail?: string): Response {
  return problem(c, CODE_OF_STATUS[status], detail);
}
