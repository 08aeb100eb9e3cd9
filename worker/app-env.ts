import type { WorkerConfig } from "./config.ts";
import type { SessionStore } from "./session-store/session-store.ts";

/** The worker's bindings, as wrangler.toml declares them; its variables and secrets are parsed in config.ts. */
export interface Bindings {
  readonly EMBEDDED_SESSIONS: DurableObjectNamespace<
    import("./session-store/embedded/embedded-sessions.ts").EmbeddedSessions
  >;
  readonly SESSION_ROOMS: DurableObjectNamespace<import("./rooms/session-rooms.ts").SessionRooms>;
  readonly ROOMS: DurableObjectNamespace<import("./rooms/room.ts").ChatRoom>;
  readonly WRONG_KEY_LIMIT: RateLimit;
  /** Sessions for first visits, per address. */
  readonly NEW_VISITOR_LIMIT: RateLimit;
  /** Logins and sign-ups, right ones too, per network. */
  readonly LOGIN_ADDRESS_LIMIT: RateLimit;
  readonly LOGIN_GUARD: DurableObjectNamespace<import("./browser/login-limit.ts").LoginGuard>;
  /** The worker of password-hasher/. */
  readonly PASSWORD_HASHER: Fetcher;
  /** What client/browser/ was built to. Deployed, requests for it do not reach the worker. */
  readonly ASSETS: Fetcher;
  /** Browser accounts. */
  readonly DB: D1Database;
}

/** What every route finds in its context. */
export interface Variables {
  readonly config: WorkerConfig;
  readonly store: SessionStore;
}

/** Hono's environment of this worker. */
export interface AppEnv {
  Bindings: Bindings;
  Variables: Variables;
}
