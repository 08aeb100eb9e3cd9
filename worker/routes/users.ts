import { Hono } from "hono";
import * as v from "valibot";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { statusProblem } from "../http/problem.ts";
import { User } from "../http/schemas.ts";
import { pathParams } from "../http/validate.ts";
import { runOne } from "../session-store/run-one.ts";

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
