import { DurableObject } from "cloudflare:workers";
import { type EventHubCalls, type IsolateBindings, openIsolate } from "../isolate.ts";
import { MAX_LOG_PAGE } from "../session-store/session-log.ts";
import type { SessionStore } from "../session-store/session-store.ts";
import { type WatchedRoom, WatchedRooms } from "./watched-rooms.ts";

/** The worker's bindings that the event hub uses. */
export interface EventHubBindings extends IsolateBindings {
  readonly ROOMS: DurableObjectNamespace<WatchedRoom>;
}

/** The event hub: the Durable Object that reads the session log for listeners and rooms, and tells them what it says. */
export class EventHub extends DurableObject<EventHubBindings> implements EventHubCalls {
  readonly #store: SessionStore;
  /** The log is read up to here; null before the first read. */
  #position: string | null = null;
  readonly #rooms: WatchedRooms;

  constructor(ctx: DurableObjectState, env: EventHubBindings) {
    super(ctx, env);
    this.#store = openIsolate(env).store;
    this.#rooms = new WatchedRooms({
      sql: ctx.storage.sql,
      store: this.#store,
      room: (name) => env.ROOMS.getByName(name),
      background: (work) => ctx.waitUntil(work),
    });
  }

  async poke(): Promise<void> {
    await Promise.all([this.#readForListeners(), this.#rooms.read()]);
  }

  async #readForListeners(): Promise<void> {
    for (;;) {
      const page = await this.#store.readLog({ after: this.#position, limit: MAX_LOG_PAGE });
      if (page.kind === "unavailable") return;
      this.#position = page.position;
      if (page.kind === "reset" || !page.more) return;
    }
  }

  watchRoom(room: string, sessids: readonly number[], which: "more" | "all"): Promise<void> {
    return this.#rooms.watch(room, sessids, which);
  }
}
