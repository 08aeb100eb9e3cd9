import { type Context, Hono } from "hono";
import { grantsAllow } from "../../protocol/grants.ts";
import { Status } from "../../protocol/status.ts";
import type { AppEnv } from "../app-env.ts";
import { checkedResource } from "../http/checked-resource.ts";
import { clientCredential } from "../http/client-token.ts";
import { identifyClient } from "../http/identify-client.ts";
import { allowedAgeSeconds } from "../http/max-age.ts";
import { problem } from "../http/problem.ts";

/** `/v1/check`: may this client enter, here? Made to be called by proxies, with any method. */
export const check = new Hono<AppEnv>().all("/*", async (c) => {
  c.header("Cache-Control", "no-store");
  sayWhence(c, "edge", 0);
  const credential = await clientCredential(c);
  if (credential === undefined) return problem(c, "unauthenticated", "a valid session token is needed");
  const resource = checkedResource(c.req.raw);
  if (resource.kind === "refused") return problem(c, "denied", resource.reason);
  const maxAgeSeconds = allowedAgeSeconds(c.req.header("Cache-Control"));
  const { session, status, source, ageSeconds } = await identifyClient(c, credential, maxAgeSeconds);
  sayWhence(c, source, ageSeconds);
  if (status === Status.Unavailable) return problem(c, "unavailable");
  // A browser before its login has a session, but nobody has logged in.
  if (session === null || session.user === null)
    return problem(c, "unauthenticated", "a valid session token is needed");
  if (resource.kind === "named" && !grantsAllow(session.grants, resource.name)) {
    return problem(c, "denied", "the session lacks the grant");
  }
  c.header("X-Session-Id", String(session.sessid));
  c.header("X-Session-User", encodeURIComponent(session.user));
  return c.body(null, 200);
});

function sayWhence(c: Context<AppEnv>, source: "store" | "edge", ageSeconds: number): void {
  c.header("X-Check-Source", source);
  c.header("Age", String(ageSeconds));
}
