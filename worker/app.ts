import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { secureHeaders } from "hono/secure-headers";
import { ConfigError } from "../config/environment.ts";
import { MAX_BATCH_BYTES } from "../protocol/service-packets.ts";
import { type AppEnv, provideStore } from "./app-env.ts";
import { assets } from "./browser/assets.ts";
import { pages } from "./browser/pages.tsx";
import { requirePlainHost } from "./http/plain-host.ts";
import { problem } from "./http/problem.ts";
import { requireApiKey } from "./http/require-api-key.ts";
import { limitBody, requireUtf8 } from "./http/validate.ts";
import { logFault } from "./log-fault.ts";
import { accounts } from "./routes/accounts.ts";
import { check } from "./routes/check.ts";
import { events } from "./routes/events.ts";
import { healthz, readyz } from "./routes/health.ts";
import { leases } from "./routes/leases.ts";
import { ownSession } from "./routes/own-session.ts";
import { packets } from "./routes/packets.ts";
import { roomSocket } from "./routes/room-socket.ts";
import { rooms } from "./routes/rooms.ts";
import { count, sessions, users } from "./routes/sessions.ts";

/** The worker's routes, in the order in which a request meets them. A route finds its config and store in the context. */
export const app = new Hono<AppEnv>();

app.onError((error, c) => {
  if (error instanceof ConfigError) return problem(c, "not_configured", error.message);
  // Thrown by Hono, for a body that is not JSON.
  if (error instanceof HTTPException && error.status < 500) return problem(c, "invalid", `body: ${error.message}`);
  logFault("unexpected", error);
  return problem(c, "unavailable", "an unexpected error, it was logged");
});
app.notFound((c) => problem(c, "not_found", "no such route; GET /docs lists them"));

// Called for every request of a protected site, so it sets its few headers itself.
app.route("/v1/check", check);
app.route("/healthz", healthz);

// Responses go to bridges, so they have none of the headers for browsers.
app.use("/v1/packets", provideStore(), requireApiKey(), limitBody(MAX_BATCH_BYTES));
app.route("/v1/packets", packets);

app.use("/v1/leases", provideStore(), requireApiKey());
app.route("/v1/leases", leases);

// From here on are routes that return 200 without a credential.
app.use(requirePlainHost());
app.use(
  secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      frameAncestors: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
    },
    xFrameOptions: "DENY",
    // Pages set their own policy (browser/pages.tsx).
    overwrite: false,
  }),
);
app.route("/", assets);
app.route("/", pages);

app.use(provideStore());
app.route("/readyz", readyz);
app.route("/v1/session", ownSession);
app.route("/v1/rooms", roomSocket);

for (const path of ["/v1/sessions/*", "/v1/users/*", "/v1/accounts/*", "/v1/count", "/v1/events", "/v1/rooms/*"]) {
  app.use(path, requireApiKey(), limitBody(), requireUtf8());
}
app.route("/v1/sessions", sessions);
app.route("/v1/users", users);
app.route("/v1/accounts", accounts);
app.route("/v1/count", count);
app.route("/v1/events", events);
app.route("/v1/rooms", rooms);
