import type { MiddlewareHandler } from "hono";
import type { AppEnv } from "../app-env.ts";
import { openIsolate } from "../isolate.ts";

/** Gives every route its settings and store. */
export function openStore(): MiddlewareHandler<AppEnv> {
  return async function openStore(c, next) {
    const { settings, store } = openIsolate(c.env);
    c.set("settings", settings);
    c.set("store", store);
    return next();
  };
}
