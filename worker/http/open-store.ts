import type { MiddlewareHandler } from "hono";
import type { AppEnv } from "../app-env.ts";
import { openIsolate } from "../isolate.ts";

/** Gives every route its config and store. */
export function openStore(): MiddlewareHandler<AppEnv> {
  return async function openStore(c, next) {
    const { config, store } = openIsolate(c.env);
    c.set("config", config);
    c.set("store", store);
    return next();
  };
}
