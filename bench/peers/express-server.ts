import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";
import { SECRET } from "./session-secret.ts";

/**
 * Express with express-session and connect-redis, as their READMEs have it for production: NODE_ENV=production, no resave,
 * no empty sessions, no X-Powered-By. The store's default slides the lifetime on every request (EXPIRE).
 */
declare module "express-session" {
  interface SessionData {
    user: string;
  }
}

const client = await createClient({ url: process.env["REDIS_URL"] ?? "" }).connect();
const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use(
  session({
    store: new RedisStore({ client, prefix: "sess:", ttl: 1800 }),
    secret: SECRET,
    resave: false,
    saveUninitialized: false,
  }),
);
app.get("/check", (request, response) => {
  const { user } = request.session;
  if (user === undefined) response.status(401).end();
  else response.set("X-Session-User", user).status(200).end();
});
app.listen(Number(process.env["PORT"]), "127.0.0.1");
