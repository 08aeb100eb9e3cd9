import { Hono } from "hono";
import * as v from "valibot";
import type { RegisterRequest, SessionChoice } from "../../protocol/session-request.ts";
import { formatToken, makeToken, TOKEN_SECRET_BYTES } from "../../protocol/session-token.ts";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { problem, statusProblem } from "../http/problem.ts";
import { CheckList, EndAllConfirmation, NewSession, SessidText, User } from "../http/schemas.ts";
import { jsonBody, pathParams, query } from "../http/validate.ts";
import { hashSecret } from "../session-store/secrets.ts";
import { runOne } from "../session-store/session-store.ts";

const SessidParam = v.object({ sessid: SessidText });
const OwnerQuery = v.object({ user: v.optional(User) });

/** `/v1/sessions`: what services do with sessions. */
export const sessions = new Hono<AppEnv>()
  .post("/", jsonBody(NewSession), async (c) => {
    const { user, ip = null, sessid, grants, ttlSeconds } = c.req.valid("json");
    const choice: SessionChoice = {
      ...(grants && { grants }),
      ...(ttlSeconds && { idleMs: ttlSeconds * 1000 }),
    };
    if (sessid === undefined) {
      const issued = await runOne(c.get("store"), { kind: "issue", user, ip, ...choice });
      if (issued.status !== Status.Ok) return statusProblem(c, issued.status);
      const { expiresAt } = issued;
      return c.json({ sessid: issued.sessid, token: formatToken(issued.token), user, expiresAt }, 201);
    }
    const secret = crypto.getRandomValues(new Uint8Array(TOKEN_SECRET_BYTES));
    const request: RegisterRequest = {
      kind: "register",
      sessid,
      user,
      ip,
      secretHash: await hashSecret(secret),
      ...choice,
    };
    const registered = await runOne(c.get("store"), request);
    if (registered.status !== Status.Ok) return statusProblem(c, registered.status);
    const { created, expiresAt } = registered;
    return c.json({ sessid, token: formatToken(makeToken(sessid, secret)), user, expiresAt }, created ? 201 : 200);
  })
  .post("/check", jsonBody(CheckList), async (c) => {
    const { sessids } = c.req.valid("json");
    const verdicts = await c.get("store").run(sessids.map((sessid) => ({ kind: "check", sessid })));
    const failed = verdicts.find(({ status }) => status !== Status.Ok && status !== Status.NotFound);
    if (failed !== undefined) return statusProblem(c, Status.Unavailable);
    return c.json({ statuses: verdicts.map(({ status }) => (status === Status.Ok ? "ok" : "not_found")) });
  })
  .delete("/", query(EndAllConfirmation), async (c) => {
    const { ended, complete } = await c.get("store").endAll();
    if (complete) return c.json({ deleted: ended });
    return problem(c, "unavailable", `${ended} sessions were ended, there may be more: send the request again`);
  })
  .get("/:sessid", pathParams(SessidParam), async (c) => {
    const got = await runOne(c.get("store"), { kind: "get", sessid: c.req.valid("param").sessid });
    return got.status === Status.Ok ? c.json(got.session) : statusProblem(c, got.status);
  })
  .delete("/:sessid", pathParams(SessidParam), query(OwnerQuery), async (c) => {
    const { user } = c.req.valid("query");
    const { sessid } = c.req.valid("param");
    const { status } = await runOne(c.get("store"), { kind: "delete", sessid, ...(user !== undefined && { user }) });
    return status === Status.Ok ? c.body(null, 204) : statusProblem(c, status);
  });

const UserParam = v.object({ user: User });

/** `/v1/users/{user}/sessions`: all sessions of one user. */
export const users = new Hono<AppEnv>()
  .get("/:user/sessions", pathParams(UserParam), async (c) => {
    const listed = await runOne(c.get("store"), { kind: "listUser", user: c.req.valid("param").user });
    return listed.status === Status.Ok ? c.json({ sessions: listed.sessions }) : statusProblem(c, listed.status);
  })
  .delete("/:user/sessions", pathParams(UserParam), async (c) => {
    const ended = await runOne(c.get("store"), { kind: "deleteUser", user: c.req.valid("param").user });
    return ended.status === Status.Ok ? c.json({ deleted: ended.deleted }) : statusProblem(c, ended.status);
  });

/** `/v1/count`: exact numbers of live sessions and of the users that have one. */
export const count = new Hono<AppEnv>().get("/", async (c) => {
  const { status, sessions, users } = await runOne(c.get("store"), { kind: "count" });
  return status === Status.Ok ? c.json({ sessions, users }) : statusProblem(c, status);
});
