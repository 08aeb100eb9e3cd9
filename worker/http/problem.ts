import type { Context } from "hono";
import * as v from "valibot";
import {
  BEARER_CHALLENGE,
  PROBLEM_MEDIA_TYPE,
  PROBLEMS,
  type ProblemCode,
  problemDocument,
} from "../../protocol/problem-document.ts";
import { Status } from "../../protocol/status-codes.ts";

/** The body of every error (RFC 9457). */
export const Problem = v.object({
  type: v.literal("about:blank"),
  title: v.string(),
  status: v.pipe(v.number(), v.integer()),
  code: v.picklist(Object.keys(PROBLEMS) as ProblemCode[]),
  detail: v.optional(v.string()),
  next: v.optional(v.pipe(v.string(), v.metadata({ description: "With `gone`: where to go on" }))),
});

/** An error response: a problem document with a stable `code`; `more` are further members of it. */
export function problem(
  c: Context,
  code: ProblemCode,
  detail?: string,
  more?: Readonly<Record<string, string>>,
): Response {
  const { status } = PROBLEMS[code];
  if (status === 401) c.header("WWW-Authenticate", BEARER_CHALLENGE);
  c.header("Cache-Control", "no-store");
  return c.body(problemDocument(code, detail, more), status, { "Content-Type": PROBLEM_MEDIA_TYPE });
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
