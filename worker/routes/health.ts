import { Hono } from "hono";
import * as v from "valibot";
import type { AppEnv } from "../app-env.ts";
import { isPlainHost, PLAIN_HOST_RULE } from "../http/plain-host.ts";
import { problem } from "../http/problem.ts";

/** GET /healthz, /readyz */
export const Health = v.object({ status: v.literal("ok") });

const RUNS = JSON.stringify({ status: "ok" } satisfies v.InferOutput<typeof Health>);
const RUNS_HEADERS = {
  "Content-Type": "application/json",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
};

/** `/healthz`: the worker runs. Probes ask for it often, so it sets its few headers itself. */
export const healthz = new Hono<AppEnv>().get("/", (c) =>
  isPlainHost(c.req.header("Host"))
    ? new Response(RUNS, { headers: RUNS_HEADERS })
    : problem(c, "invalid", PLAIN_HOST_RULE),
);

/** `/readyz`: the session store responds. */
export const readyz = new Hono<AppEnv>().get("/", async (c) =>
  (await c.get("store").ping()) ? c.json({ status: "ok" }) : problem(c, "unavailable"),
);
