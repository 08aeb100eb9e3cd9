import { app } from "./app.ts";
import type { Bindings } from "./app-env.ts";
import { openIsolate, pokeWebhooks } from "./isolate.ts";

export { LoginGuard } from "./browser/login-limit.ts";
export { EventHub } from "./events/event-hub.ts";
export { SessionHub } from "./leases/session-hub.ts";
export { ChatRoom } from "./rooms/room.ts";
export { SessionRooms } from "./rooms/session-rooms.ts";
export { EmbeddedSessions } from "./session-store/embedded/embedded-sessions.ts";
export { WebhookSender } from "./webhooks/webhook-sender.ts";

export default {
  fetch: app.fetch,
  /** The cron trigger of wrangler.toml: removes expired sessions from the indices, and starts webhooks again if their alarm is lost. */
  async scheduled(_controller, bindings) {
    const { store, config } = openIsolate(bindings);
    await store.sweep();
    if (config.webhook !== null) await pokeWebhooks(bindings);
  },
} satisfies ExportedHandler<Bindings>;
