import type { SessionStore } from "./session-store/session-store.ts";
import type { Settings } from "./settings.ts";

/** The worker's bindings, as wrangler.toml declares them; its variables and secrets are parsed in settings.ts. */
export interface Bindings {
  readonly EMBEDDED_SESSIONS: DurableObjectNamespace<import("./session-store/embedded-sessions.ts").EmbeddedSessions>;
  readonly WRONG_KEY_LIMIT: RateLimit;
}

/** What every route finds in its context. */
export interface Variables {
  readonly settings: Settings;
  readonly store: SessionStore;
}

/** Hono's environment of this worker. */
export interface AppEnv {
  Bindings: Bindings;
  Variables: Variables;
}
