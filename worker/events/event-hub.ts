import { DurableObject } from "cloudflare:workers";
import { type EventHubCalls, type IsolateBindings, openIsolate } from "../isolate.ts";
import { MAX_LOG_PAGE } from "../session-store/session-log.ts";
import type { SessionStore } from "../session-store/session-store.ts";

/** The event hub: the Durable Object that reads the session log for listeners and rooms, and tells them what it says. */
export class EventHub extends DurableObject<IsolateBindings> implements EventHubCalls {
  readonly #store: SessionStore;
  /** The log is read up to here; null before the first read. */
  #position: string | null = null;

  constructor(ctx: DurableObjectState, env: IsolateBindings) {
    super(ctx, env);
    this.#store = openIsolate(env).store;
  }

  async poke(): Promise<void> {
    for (;;) {
      const page = await this.#store.readLog({ after: this.#position, limit: MAX_LOG_PAGE });
      if (page.kind === "unavailable") return;
      this.#position = page.position;
      if (page.kind === "reset" || !page.more) return;
    }
  }

  async watchRoom(_room: string, sessids: readonly number[], _checkedMs: number): Promise<readonly number[]> {
    await this.poke();
    return sessids;
  }

  async unwatchRoom(_room: string): Promise<void> {}
}
