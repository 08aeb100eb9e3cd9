import type { Context } from "hono";
import { problem } from "../http/problem.ts";
import { refusePage } from "./refuse-page.tsx";
import { acceptsHtml, type PageEnv, type Visitor } from "./visitor.ts";

/** The answer of a page of `/me` to who is not logged in, or cannot be told to be. */
export function askForLogin(c: Context<PageEnv>, { kind }: Visitor): Response | Promise<Response> {
  if (kind === "unknown") return refuseUnknown(c);
  return acceptsHtml(c) ? c.redirect("/login?return=%2Fme", 303) : problem(c, "unauthenticated", "a login is needed");
}

/** The page for who came while the session store could not be asked. */
export function refuseUnknown(c: Context<PageEnv>): Response | Promise<Response> {
  return refusePage(c, "unavailable", "Not now", "Sessions cannot be looked up at the moment. Try again soon.");
}
