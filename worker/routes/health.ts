import { Hono } from "hono";
import * as v from "valibot";
import type { AppEnv } from "../app-env.ts";
import { problem } from "../http/problem.ts";

/** GET /healthz, /readyz */
export const Health = v.object({ status: v.literal("ok") });

/** `/healthz`: the worker runs. */
export const healthz = new Hono<AppEnv>().get("/", (c) => c.json({ status: "ok" }));

/** `/readyz`: the session store responds. */
export const readyz = new Hono<AppEnv>().get("/", async (c) =>
  (await c.get("store").ping()) ? c.json({ status: "ok" }) : problem(c, "unavailable"),
);
