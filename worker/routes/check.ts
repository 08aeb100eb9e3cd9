import { type Context, Hono } from "hono";
import type { Session } from "../../protocol/session-request.ts";
import { Status } from "../../protocol/status.ts";
import type { AppEnv } from "../app-env.ts";
import { checkedResource } from "../http/checked-resource.ts";
import { clientCredential } from "../http/client-token.ts";
import { problem } from "../http/problem.ts";
import { runOne } from "../session-store/run-one.ts";

/** `/v1/check`: may this client enter, here? Made to be called by proxies, with any method. */
export const check = new Hono<AppEnv>().all("/*", async (c) => {
  c.header("Cache-Control", "no-store");
  const credential = await clientCredential(c);
  if (credential === undefined) return problem(c, "unauthenticated", "a valid session token is needed");
  const resource = checkedResource(c.req.raw);
  if (resource.kind === "refused") return problem(c, "denied", resource.reason);
  const { sessid, secretHash } = credential;
  const asked = resource.kind === "named" ? { resource: resource.name } : {};
  const { status, session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash, ...asked });
  if (status === Status.Unavailable) return problem(c, "unavailable");
  c.header("Age", "0");
  c.header("X-Check-Source", "store");
  // A browser before its login has a session, but nobody has logged in.
  if (session === null || session.user === null)
    return problem(c, "unauthenticated", "a valid session token is needed");
  if (status !== Status.Ok) return problem(c, "denied", "the session lacks the grant");
  return allowed(c, session, session.user);
});

function allowed(c: Context<AppEnv>, session: Session, user: string): Response {
  c.header("X-Session-Id", String(session.sessid));
  c.header("X-Session-User", encodeURIComponent(user));
  return c.body(null, 200);
}
