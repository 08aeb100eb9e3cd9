import { Hono } from "hono";
import { bearerCredential, tokenChecker } from "./bearer-token.ts";
import type { Metrics } from "./metrics.ts";
import { errorJson } from "./reply-json.ts";

export interface StatusServices {
  readonly token: string;
  /** Whether /metrics may be read without the token: on loopback. It holds addresses of replicas, though no secret. */
  readonly isMetricsOpen: boolean;
  readonly metrics: Metrics;
  readonly isReady: () => boolean;
}

/** For whoever runs the server: /healthz (the process answers), /readyz (Redis can be asked) and /metrics. */
export function createStatusRoutes({ token, isMetricsOpen, metrics, isReady }: StatusServices): Hono {
  const isToken = tokenChecker(token);
  const app = new Hono();
  app.get("/healthz", (c) => c.text("ok"));
  app.get("/readyz", (c) => (isReady() ? c.text("ok") : c.text("Redis is not reachable", 503)));
  app.get("/metrics", async (c) => {
    if (!isMetricsOpen && !isToken(bearerCredential(c.req.header("Authorization")))) {
      return c.body(errorJson("Unauthorized: the token is missing or invalid"), 401, {
        "Content-Type": "application/json",
      });
    }
    return c.body(await metrics.registry.metrics(), 200, { "Content-Type": metrics.registry.contentType });
  });
  return app;
}
