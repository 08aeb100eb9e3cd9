import type { MiddlewareHandler } from "hono";
import type { AppEnv, Bindings, Variables } from "../app-env.ts";
import { openSessionStore } from "../session-store/open-session-store.ts";
import { parseSettings } from "../settings.ts";
import { CheckMemory } from "./check-memory.ts";
import { ForgettingStore } from "./forgetting-store.ts";
import { BodyIntake } from "./form-body.ts";

/** What an isolate has opened. */
export interface Opened extends Variables {
  /** What it remembers of sessions, for `/v1/check` alone. */
  readonly memory: CheckMemory;
  /** The bodies that it receives of those who have shown no credential. */
  readonly intake: BodyIntake;
}

/** An isolate's environment does not change, so it is parsed once. */
const opened = new WeakMap<Bindings, Opened>();

/** The settings and the session store of this isolate. Throws SettingsError: 503 `not_configured` with the variable's name. */
export function openOnce(bindings: Bindings): Opened {
  const known = opened.get(bindings);
  if (known !== undefined) return known;
  const settings = parseSettings(bindings);
  const memory = new CheckMemory();
  const { maxSessionsPerUser, limitPolicy } = settings.policy;
  const evicts = maxSessionsPerUser > 0 && limitPolicy === "evict-oldest";
  const store = new ForgettingStore(openSessionStore(settings, bindings), memory, evicts);
  const isolate = { settings, store, memory, intake: new BodyIntake(settings.forms) };
  opened.set(bindings, isolate);
  return isolate;
}

/** Gives every route its settings and store. */
export function openStore(): MiddlewareHandler<AppEnv> {
  return async function openStore(c, next) {
    const { settings, store } = openOnce(c.env);
    c.set("settings", settings);
    c.set("store", store);
    return next();
  };
}
