import type { Logger } from "pino";
import type { KeptSessions } from "../leases/kept-sessions.ts";
import { EdgeEvents, type EdgeEventsOptions, type EndsPage } from "./edge-events.ts";
import { EventStream } from "./event-stream.ts";
import { type PageRead, PageReader } from "./page-reader.ts";
import { RecentEnds } from "./recent-ends.ts";
import { Watch, type WatchMetrics, type WatchPeer, type WatchSource } from "./watch.ts";

/** What the watches of a bridge need. */
export interface WatchesOptions extends EdgeEventsOptions {
  /** What the bridge keeps of sessions; absent: nothing. */
  readonly kept: KeptSessions | undefined;
  readonly metrics: WatchMetrics & {
    /** The edge has told of an end. */
    endReceived(): void;
    resetReceived(): void;
    /** The stream was lost, or refused, and is asked for again. */
    reconnected(): void;
    pageRead(outcome: EndsPage["kind"]): void;
  };
  readonly logger: Logger;
}

/** The recent ends that a bridge holds, about 300 bytes each. */
const MAX_RECENT_ENDS = 10_000;

/** A watch that has to wait longer than this for its turn to catch up gets TooMany. */
const MAX_CATCH_UP_WAIT_MS = 10_000;

/** The stream stays open for so long without any watch: a server that connects again finds its position in the ring. */
const LINGER_MS = 10_000;

/** Watches are served for so long in one turn of the event loop, so that checks do not wait for them. */
const TURN_MS = 5;

/** All watches of a bridge. They share one stream of events, a ring of recent ends, and a queue for pages of the log. */
export class Watches implements WatchSource {
  readonly ends = new RecentEnds(MAX_RECENT_ENDS);
  readonly metrics: WatchesOptions["metrics"];
  readonly #kept: KeptSessions | undefined;
  readonly #deadlineMs: number;
  readonly #events: EdgeEvents;
  readonly #stream: EventStream;
  readonly #pages: PageReader;
  readonly #watches = new Set<Watch>();
  /** Those that may have something to tell. */
  readonly #due = new Set<Watch>();
  #turn: NodeJS.Immediate | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(options: WatchesOptions) {
    const { kept, metrics, logger, deadlineMs } = options;
    this.metrics = metrics;
    this.#kept = kept;
    this.#deadlineMs = deadlineMs;
    const { ends } = this;
    this.#events = new EdgeEvents(options);
    const output = {
      ended: ({ sessid }: { readonly sessid: number }) => {
        metrics.endReceived();
        this.forget(sessid);
      },
      reset: () => {
        metrics.resetReceived();
        this.forget(undefined);
      },
      told: () => this.#serveAll(),
      redialled: () => metrics.reconnected(),
    };
    const events = this.#events;
    this.#stream = new EventStream({ events, ends, output, logger });
    const limits = { maxAtOnce: options.maxPagesAtOnce, maxWaitMs: MAX_CATCH_UP_WAIT_MS, maxLagMs: deadlineMs };
    this.#pages = new PageReader({ events, stream: this.#stream, ends, metrics, ...limits });
  }

  /** How many connections watch, or are about to. */
  get size(): number {
    return this.#watches.size;
  }

  get isLive(): boolean {
    return this.#stream.isLive;
  }

  /** The watch of a connection, which watches nothing yet. */
  of(peer: WatchPeer): Watch {
    return new Watch(this, peer);
  }

  enter(watch: Watch): void {
    clearTimeout(this.#linger);
    this.#watches.add(watch);
    this.#stream.open();
  }

  leave(watch: Watch): void {
    this.#due.delete(watch);
    if (!this.#watches.delete(watch) || this.#watches.size > 0) return;
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => this.#stream.close(), LINGER_MS);
  }

  live(): Promise<boolean> {
    return this.#stream.live(this.#deadlineMs);
  }

  read(after: string, isUpToDate: boolean): Promise<PageRead> {
    return this.#pages.read(after, isUpToDate);
  }

  forget(sessid: number | undefined): void {
    if (sessid === undefined) this.#kept?.forgetAll();
    else this.#kept?.forget(sessid);
  }

  schedule(watch: Watch): void {
    if (!this.#watches.has(watch)) return;
    this.#due.add(watch);
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#serve();
    });
  }

  /** Ends the stream. No connection watches any more. */
  async close(): Promise<void> {
    clearTimeout(this.#linger);
    clearImmediate(this.#turn);
    this.#watches.clear();
    this.#due.clear();
    this.#stream.close();
    await this.#events.close();
  }

  #serveAll(): void {
    for (const watch of this.#watches) this.#due.add(watch);
    if (this.#turn === undefined) this.#serve();
  }

  /** Serves the watches that are due, in turns. */
  #serve(): void {
    const beganMs = performance.now();
    let nowMs = beganMs;
    for (const watch of this.#due) {
      if (nowMs - beganMs >= TURN_MS) break;
      this.#due.delete(watch);
      // What is not finished goes to the back.
      if (watch.tellOn(nowMs)) this.#due.add(watch);
      nowMs = performance.now();
    }
    const [next] = this.#due;
    if (next !== undefined) this.schedule(next);
  }
}
