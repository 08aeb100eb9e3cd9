import { MAX_LOG_PAGE } from "../session-store/session-log.ts";
import { type SessionStore, STORE_DEADLINE_MS, settledWithin } from "../session-store/session-store.ts";
import { EventFeed, type FeedMessage, type Listening } from "./event-feed.ts";
import { encodeMessage, encodeRetry, STREAM_HEADERS } from "./event-stream.ts";

/** The listeners at once. What they do not read is held: 64 MiB (FeedLimits) at worst. */
export const MAX_LISTENERS = 1000;

/** A listener is refused if the log could not be read in this time. */
const OPEN_MS = 2 * STORE_DEADLINE_MS;

type Stream = WritableStreamDefaultWriter<Uint8Array>;

/**
 * The streams of an {@link EventFeed}, with its clock, its timer and its store. workerd's own streams (IdentityTransformStream) are
 * what shows whether a client reads: a write is done when the runtime has taken it for the client's connection, and not before. A
 * client that has gone is noticed at the second write after it went, so the checkpoints find it.
 */
export class EventListeners {
  readonly #store: Pick<SessionStore, "readLog">;
  readonly #feed: EventFeed<Stream>;
  /** Those whose response waits for their first message. */
  readonly #opening = new Map<Stream, () => void>();
  #timer: { readonly id: ReturnType<typeof setTimeout>; readonly atMs: number } | undefined;
  #wallMs = 0;
  #offsetMs = 0;

  constructor(store: Pick<SessionStore, "readLog">) {
    this.#store = store;
    this.#feed = new EventFeed<Stream>({
      read: async ({ after, watchMs }) => {
        const page = await this.#read({ after, limit: MAX_LOG_PAGE, ...(watchMs !== undefined && { watchMs }) });
        this.#input((nowMs) => this.#feed.readDone(page, nowMs));
      },
      readPage: async (stream, { after, kinds, limit }) => {
        const beganMs = Date.now();
        const page = await this.#read({ after, limit, ...(kinds !== null && { kinds }) });
        // Half of the time is left to others, however many catch up. Without a timer, workerd would not even look at its sockets.
        await scheduler.wait(Math.max(1, Date.now() - beganMs));
        this.#input((nowMs) => this.#feed.pageRead(stream, page, nowMs));
      },
      send: (stream, message) => this.#send(stream, message),
      end: (stream, isWriting) => this.#end(stream, isWriting),
    });
  }

  /** The response to somebody who wants to listen: the stream; 429 if too many listen, 503 if the log cannot be read. */
  async listen(listening: Listening): Promise<Response> {
    if (this.#feed.listeners >= MAX_LISTENERS) return new Response(null, { status: 429 });
    const { readable, writable } = new IdentityTransformStream();
    const stream: Stream = writable.getWriter();
    stream.closed.catch(() => undefined).then(() => this.#gone(stream));
    const opened = new Promise<true>((resolve) => this.#opening.set(stream, () => resolve(true)));
    this.#input((nowMs) => this.#feed.connected(stream, listening, nowMs));
    if (await settledWithin(OPEN_MS, opened)) return new Response(readable, { headers: STREAM_HEADERS });
    this.#end(stream, true);
    return new Response(null, { status: 503 });
  }

  /** Resolves when a read of the log is over that began after this call; at once if nobody listens. */
  poke(): Promise<void> {
    return new Promise((resolve) => this.#input((nowMs) => this.#feed.poked(resolve, nowMs)));
  }

  async #read(read: Parameters<SessionStore["readLog"]>[0]) {
    return (await settledWithin(OPEN_MS, this.#store.readLog(read))) ?? ({ kind: "unavailable" } as const);
  }

  #send(stream: Stream, message: FeedMessage): void {
    const open = this.#opening.get(stream);
    if (open !== undefined) {
      this.#opening.delete(stream);
      open();
      stream.write(encodeRetry()).catch(() => undefined);
    }
    stream.write(encodeMessage(message)).then(
      () => this.#input((nowMs) => this.#feed.written(stream, nowMs)),
      // The stream is closed then.
      () => undefined,
    );
  }

  #end(stream: Stream, isWriting: boolean): void {
    // What is closed in order waits until it was read.
    const ended = isWriting ? stream.abort(new Error("the listener does not read")) : stream.close();
    ended.catch(() => undefined);
    this.#gone(stream);
  }

  #gone(stream: Stream): void {
    this.#opening.delete(stream);
    this.#input(() => this.#feed.gone(stream));
  }

  /** Gives the feed an input, and sets the timer for its deadline. */
  #input(give: (nowMs: number) => void): void {
    give(this.#nowMs());
    const atMs = this.#feed.deadlineMs;
    if (atMs !== undefined && atMs === this.#timer?.atMs) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer.id);
    this.#timer = undefined;
    if (atMs === undefined) return;
    const id = setTimeout(() => {
      this.#timer = undefined;
      this.#input((nowMs) => this.#feed.tick(nowMs));
    }, atMs - this.#nowMs());
    this.#timer = { id, atMs };
  }

  /** The wall clock, except that it does not go back when that is set back. */
  #nowMs(): number {
    const wallMs = Date.now();
    this.#offsetMs += Math.max(0, this.#wallMs - wallMs);
    this.#wallMs = wallMs;
    return wallMs + this.#offsetMs;
  }
}
