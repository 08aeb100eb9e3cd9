import { Hono } from "hono";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { clearSessionCookie, clientCredential, isSameOrigin } from "../http/client-credential.ts";
import { problem, statusProblem } from "../http/problem.ts";
import { runOne } from "../session-store/session-store.ts";

const NO_SESSION = "a valid session token is needed";

/** `/v1/session`: a client reads or ends its own session. */
export const ownSession = new Hono<AppEnv>()
  .get("/", async (c) => {
    const credential = await clientCredential(c);
    if (credential === undefined) return problem(c, "unauthenticated", NO_SESSION);
    const { sessid, secretHash } = credential;
    const { status, session } = await runOne(c.get("store"), { kind: "identify", sessid, secretHash });
    c.header("Cache-Control", "no-store");
    if (status === Status.Ok) return c.json(session);
    return status === Status.NotFound ? problem(c, "unauthenticated", NO_SESSION) : statusProblem(c, status);
  })
  .delete("/", async (c) => {
    const credential = await clientCredential(c);
    if (credential === undefined) return problem(c, "unauthenticated", NO_SESSION);
    const { sessid, secretHash, fromCookie } = credential;
    if (fromCookie && !isSameOrigin(c)) return problem(c, "denied", "Origin: with the cookie it is this host");
    const { status } = await runOne(c.get("store"), { kind: "delete", sessid, secretHash });
    if (status === Status.NotFound || status === Status.Denied) return problem(c, "unauthenticated", NO_SESSION);
    if (status !== Status.Ok) return statusProblem(c, status);
    if (fromCookie) clearSessionCookie(c);
    return c.body(null, 204);
  });
