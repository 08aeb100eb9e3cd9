/** The stable codes of problems and their HTTP status. Clients depend on the code, never on a title or a detail. */
export const PROBLEMS = {
  invalid: { status: 400, title: "The request is not valid" },
  unauthenticated: { status: 401, title: "No valid credential" },
  denied: { status: 403, title: "Not allowed" },
  not_found: { status: 404, title: "Not found" },
  too_slow: { status: 408, title: "The request did not arrive in time" },
  conflict: { status: 409, title: "In conflict with what there is" },
  gone: { status: 410, title: "Not there any more" },
  too_large: { status: 413, title: "The request is too large" },
  upgrade_required: { status: 426, title: "A WebSocket is needed" },
  too_many: { status: 429, title: "A limit was reached" },
  unavailable: { status: 503, title: "The session store could not be asked in time" },
  not_configured: { status: 503, title: "This server is not configured for that" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** The media type of a problem document (RFC 9457 §3). */
export const PROBLEM_MEDIA_TYPE = "application/problem+json";

/** The WWW-Authenticate of every 401 (RFC 6750 §3). */
export const BEARER_CHALLENGE = 'Bearer realm="artoria"';

/**
 * The body of an error response (RFC 9457). `detail` names the field and what is allowed; never put a stack, a command or an id
 * that the caller did not send into it. `more` are members of this problem alone (RFC 9457 §3.2).
 */
export function problemDocument(code: ProblemCode, detail?: string, more?: Readonly<Record<string, string>>): string {
  const { status, title } = PROBLEMS[code];
  return JSON.stringify({ type: "about:blank", title, status, code, detail, ...more });
}
