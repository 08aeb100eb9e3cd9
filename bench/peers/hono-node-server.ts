import { promisify } from "node:util";
import { serve } from "@hono/node-server";
import { RedisStore } from "connect-redis";
import type { SessionData } from "express-session";
import { Hono } from "hono";
import { getSignedCookie } from "hono/cookie";
import { createClient } from "redis";
import { SECRET } from "./session-secret.ts";

/** Hono on Node with the same store and the same sliding as the Express server: read, then EXPIRE. */
const client = await createClient({ url: process.env["REDIS_URL"] ?? "" }).connect();
const store = new RedisStore({ client, prefix: "sess:", ttl: 1800 });
const read = promisify<string, SessionData | null | undefined>(store.get.bind(store));
const touch = promisify<string, SessionData>(store.touch.bind(store));

const app = new Hono();
app.get("/check", async (c) => {
  const id = await getSignedCookie(c, SECRET, "sid");
  const session = id ? await read(id) : undefined;
  if (!id || !session) return c.body(null, 401);
  await touch(id, session);
  c.header("X-Session-User", (session as SessionData & { user: string }).user);
  return c.body(null, 200);
});
serve({ fetch: app.fetch, port: Number(process.env["PORT"]), hostname: "127.0.0.1" });
