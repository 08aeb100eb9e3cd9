import type { Context } from "hono";
import type { HasherBusy } from "./ask-password-hasher.ts";
import { refusePage } from "./refuse-page.tsx";
import type { PageEnv } from "./visitor.ts";

/** The page for who came while too many passwords waited to be hashed. */
export function refuseBusy(c: Context<PageEnv>, { retryAfterSeconds }: HasherBusy): Response | Promise<Response> {
  c.header("Retry-After", String(retryAfterSeconds));
  const text = `Very many people are logging in at the moment. Try again in ${retryAfterSeconds} seconds.`;
  return refusePage(c, "unavailable", "Not now", text);
}
