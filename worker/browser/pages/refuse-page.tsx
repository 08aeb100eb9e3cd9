import type { Context } from "hono";
import { PROBLEMS, type ProblemCode } from "../../../protocol/problem-document.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { problem } from "../../http/problem.ts";
import type { HasherBusy } from "../login.ts";
import { acceptsHtml, type PageEnv, type Visitor } from "../visitor.ts";
import { Layout } from "./layout.tsx";

/** A refusal: a page, or problem+json for a client that accepts only JSON. The code decides the status. */
export function refusePage(
  c: Context<PageEnv>,
  code: ProblemCode,
  title: string,
  text: string,
): Response | Promise<Response> {
  if (!acceptsHtml(c)) return problem(c, code, text);
  return c.html(<MessagePage visitor={c.get("visitor")} title={title} text={text} />, PROBLEMS[code].status);
}

/** The refusal while too many passwords wait to be hashed. */
export function refuseBusy(c: Context<PageEnv>, { retryAfterSeconds }: HasherBusy): Response | Promise<Response> {
  c.header("Retry-After", String(retryAfterSeconds));
  const text = `Very many people are logging in at the moment. Try again in ${retryAfterSeconds} seconds.`;
  return refusePage(c, "unavailable", "Not now", text);
}

/** The refusal while the session store cannot be asked. */
export function refuseUnknown(c: Context<PageEnv>): Response | Promise<Response> {
  return refusePage(c, "unavailable", "Not now", "Sessions cannot be looked up at the moment. Try again soon.");
}

/**
 * The response to a visitor who is not logged in, or while that is unknown.
 *
 * @param page the path to which the login leads back
 */
export function askForLogin(
  c: Context<PageEnv>,
  { kind }: Visitor,
  page: "/me" | "/console",
): Response | Promise<Response> {
  if (kind === "unknown") return refuseUnknown(c);
  if (!acceptsHtml(c)) return problem(c, "unauthenticated", "a login is needed");
  return c.redirect(`/login?return=${encodeURIComponent(page)}`, 303);
}

/** A page with one message. */
export function MessagePage({ visitor, title, text }: { visitor: Visitor; title: string; text: string }) {
  return (
    <Layout title={title} visitor={visitor}>
      <h1>{title}</h1>
      <p>{text}</p>
      <p>
        <a href="/">Go to the main page</a>
      </p>
    </Layout>
  );
}

/** The refusal for a right password, if no session could be issued. */
export function refuseSession(c: Context<PageEnv>, status: Status): Response | Promise<Response> {
  return status === Status.TooMany
    ? refusePage(
        c,
        "too_many",
        "Too many sessions",
        "You are logged in at too many places. Log out at one of them, or end sessions on its account page; the unused ones end by themselves.",
      )
    : refusePage(
        c,
        "unavailable",
        "Not now",
        "Your name and password are right, but you could not be logged in at the moment. Log in again soon.",
      );
}
