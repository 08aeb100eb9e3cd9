import { setTimeout as pause } from "node:timers/promises";
import { createParser } from "eventsource-parser";
import type { SessionEvent } from "../../../worker/session-store/session-log.ts";

/** As soon as a test wants, unlike a browser: the test waits for it. */
const RECONNECT_MS = 20;

/**
 * Somebody who listens to `GET /v1/events` of an edge, and connects again as an `EventSource` does, with the last id that it
 * received. It listens from `open` until `close`.
 */
export class StreamListener {
  readonly events: SessionEvent[] = [];
  /** How many events it had received when each reset came, and where it went on. */
  readonly resets: { readonly after: number; readonly position: string }[] = [];
  /** The last id; empty before the first. */
  position = "";
  /** The connections that were made. */
  connections = 0;
  readonly #url: () => string;
  readonly #apiKey: string;
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;

  private constructor(url: () => string, apiKey: string) {
    this.#url = url;
    this.#apiKey = apiKey;
    this.#done = this.#listen();
  }

  /** @param edgeUrl asked before each connection, because an edge that is started again has another port */
  static async open(edgeUrl: () => string, apiKey: string, query = ""): Promise<StreamListener> {
    const listener = new StreamListener(() => `${edgeUrl()}/v1/events${query}`, apiKey);
    while (listener.position === "") await pause(RECONNECT_MS);
    return listener;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#done;
  }

  async #listen(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      // What breaks a connection is what the tests are about.
      await this.#connect().catch(() => undefined);
      await pause(RECONNECT_MS);
    }
  }

  async #connect(): Promise<void> {
    const headers = {
      Authorization: `Bearer ${this.#apiKey}`,
      ...(this.position && { "Last-Event-ID": this.position }),
    };
    const response = await fetch(this.#url(), { headers, signal: this.#closing.signal });
    if (response.status !== 200 || response.body === null) return;
    this.connections += 1;
    const parser = createParser({
      onEvent: ({ event, data }) => {
        if (event === "reset") this.resets.push({ after: this.events.length, position: this.position });
        else this.events.push(JSON.parse(data) as SessionEvent);
      },
      // Called before onEvent.
      onId: (id) => {
        this.position = id;
      },
    });
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text);
  }
}
