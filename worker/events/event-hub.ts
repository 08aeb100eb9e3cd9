import { DurableObject } from "cloudflare:workers";
import { type EventHubCalls, type IsolateBindings, openIsolate } from "../isolate.ts";
import { EventListeners } from "./event-listeners.ts";
import { decodeListening } from "./event-stream.ts";
import { type WatchedRoom, WatchedRooms } from "./watched-rooms.ts";

/** The worker's bindings that the event hub uses. */
export interface EventHubBindings extends IsolateBindings {
  readonly ROOMS: DurableObjectNamespace<WatchedRoom>;
}

/** The event hub: the Durable Object that reads the session log for listeners and rooms, and tells them what it says. */
export class EventHub extends DurableObject<EventHubBindings> implements EventHubCalls {
  readonly #listeners: EventListeners;
  readonly #rooms: WatchedRooms;

  constructor(ctx: DurableObjectState, env: EventHubBindings) {
    super(ctx, env);
    const { store } = openIsolate(env);
    this.#listeners = new EventListeners(store);
    this.#rooms = new WatchedRooms({
      sql: ctx.storage.sql,
      store,
      room: (name) => env.ROOMS.getByName(name),
      background: (work) => ctx.waitUntil(work),
    });
  }

  /** The worker's request for a stream of events; 429 if too many listen, 503 if the log cannot be read. */
  override fetch({ url }: Request): Promise<Response> {
    return this.#listeners.listen(decodeListening(url));
  }

  async poke(): Promise<void> {
    await Promise.all([this.#listeners.poke(), this.#rooms.read()]);
  }

  watchRoom(room: string, sessids: readonly number[], which: "more" | "all"): Promise<void> {
    return this.#rooms.watch(room, sessids, which);
  }
}
