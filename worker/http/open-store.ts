import type { MiddlewareHandler } from "hono";
import type { AppEnv, Bindings, Variables } from "../app-env.ts";
import { openSessionStore } from "../session-store/open-session-store.ts";
import { parseSettings, SettingsError } from "../settings.ts";
import { CheckMemory } from "./check-memory.ts";
import { ForgettingStore } from "./forgetting-store.ts";
import { problem } from "./problem.ts";

/** An isolate's environment does not change, so it is parsed once. */
const opened = new WeakMap<Bindings, Variables>();

/** The settings and the session store of this isolate. */
export function openOnce(bindings: Bindings): Variables {
  const known = opened.get(bindings);
  if (known !== undefined) return known;
  const settings = parseSettings(bindings);
  const memory = new CheckMemory();
  const { maxSessionsPerUser, limitPolicy } = settings.policy;
  const evicts = maxSessionsPerUser > 0 && limitPolicy === "evict-oldest";
  const store = new ForgettingStore(openSessionStore(settings, bindings), memory, evicts);
  const variables = { settings, store, memory };
  opened.set(bindings, variables);
  return variables;
}

/** Gives every route its settings and store; a wrong variable is 503 `not_configured` with its name. */
export function openStore(): MiddlewareHandler<AppEnv> {
  return async function openStore(c, next) {
    try {
      const { settings, store, memory } = openOnce(c.env);
      c.set("settings", settings);
      c.set("store", store);
      c.set("memory", memory);
    } catch (error) {
      if (error instanceof SettingsError) return problem(c, "not_configured", error.message);
      throw error;
    }
    return next();
  };
}
