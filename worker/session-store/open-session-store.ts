import { waitUntil } from "cloudflare:workers";
import type { Bindings } from "../app-env.ts";
import type { Settings } from "../settings.ts";
import { EmbeddedStore } from "./embedded-store.ts";
import { GatheringStore } from "./gathering-store.ts";
import { RedisStore } from "./redis-store.ts";
import type { SessionStore } from "./session-store.ts";

/** The store that the settings choose. It serves all requests of an isolate. */
export function openSessionStore({ store, policy }: Settings, bindings: Bindings): SessionStore {
  if (store.kind === "embedded") return new EmbeddedStore({ namespace: bindings.EMBEDDED_SESSIONS, policy });
  const redis = new RedisStore({ url: store.url, token: store.token, policy, background: waitUntil });
  return new GatheringStore({ store: redis, background: waitUntil });
}
