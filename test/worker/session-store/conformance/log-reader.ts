import type { LogPage, SessionEvent } from "../../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";

/** Reads the log of a store from the moment at which it was opened. */
export class LogReader {
  readonly #store: SessionStore;
  readonly #limit: number;
  position: string;

  private constructor(store: SessionStore, position: string, limit: number) {
    this.#store = store;
    this.position = position;
    this.#limit = limit;
  }

  /** A reader that stands at the end of the log. @param limit the most events that it reads in one page */
  static async open(store: SessionStore, limit = 1000): Promise<LogReader> {
    const page = eventsOf(await store.readLog({ after: null, limit }));
    const reader = new LogReader(store, page.position, limit);
    if (page.more) await reader.read();
    return reader;
  }

  /** All events that are new to this reader, in order. Throws if it has missed some. */
  async read(): Promise<SessionEvent[]> {
    const events: SessionEvent[] = [];
    for (;;) {
      const page = eventsOf(await this.#store.readLog({ after: this.position, limit: this.#limit }));
      events.push(...page.events);
      this.position = page.position;
      if (!page.more) return events;
    }
  }
}

function eventsOf(page: LogPage): Extract<LogPage, { kind: "events" }> {
  if (page.kind !== "events") throw new Error(`the log cannot be read: ${page.kind}`);
  return page;
}

/** An event without its position and its time: `began 5 of kim`, `ended 5 of kim, deleted`. */
export function told({ kind, reason, sessid, user }: SessionEvent): string {
  return `${kind} ${sessid} of ${user ?? "nobody"}${reason === null ? "" : `, ${reason}`}`;
}
