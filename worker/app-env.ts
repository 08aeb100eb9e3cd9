import type { MiddlewareHandler } from "hono";
import type { LoginLimitBindings } from "./browser/login-limit.ts";
import { type Isolate, type IsolateBindings, openIsolate } from "./isolate.ts";
import type { ChatRoom, RoomBindings } from "./rooms/room.ts";

/**
 * The worker's bindings, as wrangler.toml declares them; config.ts parses its variables and secrets. Bindings that a Durable
 * Object uses are declared in its file, which cannot import this one.
 */
export interface Bindings extends IsolateBindings, RoomBindings, LoginLimitBindings {
  readonly ROOMS: DurableObjectNamespace<ChatRoom>;
  readonly WRONG_KEY_LIMIT: RateLimit;
  /** Limits the sessions that first visits from one address get. */
  readonly NEW_VISITOR_LIMIT: RateLimit;
  /** The worker of password-hasher/. */
  readonly PASSWORD_HASHER: Fetcher;
  /** What client/browser/ was built to. Deployed, requests for it do not reach the worker. */
  readonly ASSETS: Fetcher;
  /** Browser accounts. */
  readonly DB: D1Database;
}

/** What every route finds in its context. */
export type Variables = Pick<Isolate, "config" | "store">;

/** Hono's environment of this worker. */
export interface AppEnv {
  Bindings: Bindings;
  Variables: Variables;
}

/** Puts the config and the session store into the context. */
export function provideStore(): MiddlewareHandler<AppEnv> {
  return async function provideStore(c, next) {
    const { config, store } = openIsolate(c.env);
    c.set("config", config);
    c.set("store", store);
    return next();
  };
}
