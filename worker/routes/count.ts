import { Hono } from "hono";
import { Status } from "../../protocol/status-codes.ts";
import type { AppEnv } from "../app-env.ts";
import { statusProblem } from "../http/problem.ts";
import { runOne } from "../session-store/run-one.ts";

/** `/v1/count`: exact numbers of live sessions and of the users that have one. */
export const count = new Hono<AppEnv>().get("/", async (c) => {
  const { status, sessions, users } = await runOne(c.get("store"), { kind: "count" });
  return status === Status.Ok ? c.json({ sessions, users }) : statusProblem(c, status);
});
