import type { Context } from "hono";
import { Status } from "../../protocol/status-codes.ts";
import { refusePage } from "./refuse-page.tsx";
import type { PageEnv } from "./visitor.ts";

/** The page for a right password that got no session. */
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
