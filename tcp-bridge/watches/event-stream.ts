import type { Logger } from "pino";
import { EdgeRedial } from "../edge/edge-redial.ts";
import type { EdgeEvents, StreamEnd } from "./edge-events.ts";
import type { RecentEnds, SessionEnd } from "./recent-ends.ts";

/** What the bridge does with what the stream tells. */
export interface StreamOutput {
  /** A session has ended; called before anybody is told. */
  ended(end: SessionEnd): void;
  /** Any session may have ended; called before anybody is told. */
  reset(): void;
  /** There are new entries. */
  told(): void;
  /** The stream was lost, or refused, and is asked for again. */
  redialled(): void;
}

/** What an {@link EventStream} needs. */
export interface EventStreamOptions {
  readonly events: EdgeEvents;
  readonly ends: RecentEnds;
  readonly output: StreamOutput;
  readonly logger: Logger;
}

/**
 * The one stream of events that a bridge reads while anybody watches. It fills the ring of recent ends.
 *
 * | state | from | until |
 * | --- | --- | --- |
 * | closed | `close` | `open` |
 * | dialling | `open`, or the end of the delay | the first position of the stream, or its end |
 * | live | the first position | the end of the stream |
 * | waiting | the end of a stream | the end of a random delay |
 *
 * A stream that follows another one begins where that one stood, so the ring has no hole.
 */
export class EventStream {
  readonly #options: EventStreamOptions;
  #state: "closed" | "dialling" | "live" | "waiting" = "closed";
  #abort: AbortController | undefined;
  #dialTimer: NodeJS.Timeout | undefined;
  readonly #redial = new EdgeRedial();
  #liveSinceMs = 0;
  /** Those who wait for the state `live`. */
  readonly #waiting = new Set<() => void>();

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  get isLive(): boolean {
    return this.#state === "live";
  }

  /** Dials, and keeps dialling until {@link close}. Idempotent. */
  open(): void {
    if (this.#state === "closed") this.#dial();
  }

  /** Ends the stream, and forgets what it told: what comes after the next `open` does not follow it. Idempotent. */
  close(): void {
    this.#state = "closed";
    clearTimeout(this.#dialTimer);
    this.#abort?.abort();
    this.#abort = undefined;
    this.#options.ends.clear();
    this.#wake();
  }

  /** Resolves with whether the stream is live, at the latest after `timeoutMs`. */
  async live(timeoutMs: number): Promise<boolean> {
    await this.#change(() => this.isLive || this.#state === "closed", timeoutMs);
    return this.isLive;
  }

  /** Resolves with whether the stream has told of this position, at the latest after `timeoutMs`; also if it told of a reset. */
  async passed(position: string, timeoutMs: number): Promise<boolean> {
    const { ends } = this.#options;
    const from = ends.end;
    const isOver = (): boolean => ends.numberOf(position) !== undefined || this.#state === "closed";
    await this.#change(() => isOver() || hasReset(ends, from), timeoutMs);
    return this.isLive && (ends.numberOf(position) !== undefined || hasReset(ends, from));
  }

  #dial(): void {
    this.#state = "dialling";
    const abort = new AbortController();
    this.#abort = abort;
    // It does not reject.
    void this.#read(abort);
  }

  async #read(abort: AbortController): Promise<void> {
    const { events, ends, output } = this.#options;
    // What comes after the stream was closed belongs to none.
    const ifCurrent = (callback: () => void): void => {
      if (this.#abort === abort) callback();
    };
    const handler = {
      checkpoint: (position: string) =>
        ifCurrent(() => {
          ends.checkpoint(position);
          this.#standing();
        }),
      ended: (end: SessionEnd) =>
        ifCurrent(() => {
          output.ended(end);
          ends.add(end);
          this.#standing();
        }),
      reset: (position: string) =>
        ifCurrent(() => {
          output.reset();
          ends.reset(position, Date.now());
          this.#standing();
        }),
      told: () =>
        ifCurrent(() => {
          this.#wake();
          output.told();
        }),
    };
    const end = await events.stream(ends.position, handler, abort.signal);
    ifCurrent(() => this.#lost(end));
  }

  /** The stream has said where it stands. */
  #standing(): void {
    if (this.#state === "live") return;
    this.#state = "live";
    this.#liveSinceMs = performance.now();
    if (this.#redial.isNews("live"))
      this.#options.logger.info("the bridge reads the edge's events for those who watch");
  }

  #lost(end: StreamEnd): void {
    const usedMs = this.#state === "live" ? performance.now() - this.#liveSinceMs : 0;
    this.#state = "waiting";
    const delayMs = this.#redial.delayMs(usedMs, end.isLasting);
    if (this.#redial.isNews(end.code)) {
      const fields = { code: end.code, detail: end.detail, redialMs: Math.ceil(delayMs) };
      this.#options.logger.warn(fields, "the edge's events ended: watches wait for them");
    }
    this.#dialTimer = setTimeout(() => {
      this.#options.output.redialled();
      this.#dial();
    }, delayMs);
  }

  /** Resolves when `isOver` is true after something has changed, at the latest after `timeoutMs`. */
  async #change(isOver: () => boolean, timeoutMs: number): Promise<void> {
    if (isOver()) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (isOver()) done();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#waiting.add(look);
    });
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }
}

function hasReset(ends: RecentEnds, from: number): boolean {
  for (let number = Math.max(from, ends.first); number < ends.end; number++) {
    if (ends.entry(number).kind === "reset") return true;
  }
  return false;
}
