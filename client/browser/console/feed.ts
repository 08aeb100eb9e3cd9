import type { LogEvent } from "./server.ts";

/** Whether what happens is heard of. */
export type FeedState = "connecting" | "live" | "lost" | "hidden" | "closed";

export interface FeedListener {
  heard(event: LogEvent): void;
  stateIs(state: FeedState): void;
  /** Events were missed: the stream goes on from the end of the log. */
  missed(): void;
}

/** A hidden page keeps its stream for so long: somebody who only looked at another tab misses nothing. */
const HIDDEN_MS = 30_000;

/** Before the next try, after the edge has refused a stream. */
const MIN_RETRY_MS = 2_000;
const MAX_RETRY_MS = 30_000;

const KINDS = ["began", "changed", "ended"] as const;

/**
 * The session log as it happens, by the browser's EventSource, which reconnects by itself and resumes by position. A page that is
 * hidden for long has no stream; shown again, it goes on with what happens from then on.
 */
export class ConsoleFeed {
  readonly #url: string;
  readonly #listener: FeedListener;
  /** Called if the edge refuses the stream; whether to try again. */
  readonly #mayRetry: () => Promise<boolean>;
  #source: EventSource | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #refusals = 0;
  #isClosed = false;

  constructor(url: string, listener: FeedListener, mayRetry: () => Promise<boolean>) {
    this.#url = url;
    this.#listener = listener;
    this.#mayRetry = mayRetry;
  }

  /** Begins, and again whenever the page is shown. */
  begin(): void {
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    if (document.hidden) this.#listener.stateIs("hidden");
    else this.#open();
  }

  /** Ends it for good. */
  close(): void {
    this.#isClosed = true;
    this.#end("closed");
  }

  #visibilityChanged(): void {
    if (this.#isClosed) return;
    if (!document.hidden) {
      if (this.#source === undefined) this.#open();
      else this.#setTimer(undefined);
      return;
    }
    // A refused stream needs no time: there is nothing to keep.
    if (this.#source === undefined) this.#end("hidden");
    else this.#setTimer(() => this.#end("hidden"), HIDDEN_MS);
  }

  #open(): void {
    this.#setTimer(undefined);
    this.#listener.stateIs("connecting");
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#refusals = 0;
      this.#listener.stateIs("live");
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, ({ data }: MessageEvent<string>) => this.#listener.heard(JSON.parse(data)));
    }
    source.addEventListener("reset", () => this.#listener.missed());
    source.addEventListener("error", () => {
      if (this.#source !== source) return;
      if (source.readyState === EventSource.CLOSED) void this.#refused();
      else this.#listener.stateIs("lost");
    });
  }

  /** The edge answered with no stream: the browser does not try again by itself. */
  async #refused(): Promise<void> {
    this.#end("lost");
    if (!(await this.#mayRetry()) || this.#isClosed || document.hidden) return;
    const backOffMs = Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** this.#refusals);
    this.#refusals += 1;
    this.#setTimer(() => this.#open(), backOffMs * (0.5 + Math.random()));
  }

  #end(state: FeedState): void {
    this.#setTimer(undefined);
    this.#source?.close();
    this.#source = undefined;
    this.#listener.stateIs(state);
  }

  #setTimer(action: (() => void) | undefined, ms = 0): void {
    clearTimeout(this.#timer);
    this.#timer = action && setTimeout(action, ms);
  }
}
