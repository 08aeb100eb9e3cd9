import type { EdgeEvents, EndsPage } from "./edge-events.ts";
import type { EventStream } from "./event-stream.ts";
import type { RecentEnds } from "./recent-ends.ts";

/** A page, and how it fits to the ring of recent ends. */
export type PageRead =
  | (Extract<EndsPage, { kind: "ends" }> & {
      /** The number of the ring's next entry when the page was asked for. */
      readonly entriesBefore: number;
      /** Whether the ring had all then that was in the log when the read was called. */
      readonly isUpToDate: boolean;
    })
  | Exclude<EndsPage, { kind: "ends" }>
  /** Too many wait for pages. */
  | { readonly kind: "crowded" };

/** What a {@link PageReader} reads. */
export interface PageReaderOptions {
  readonly events: EdgeEvents;
  readonly stream: EventStream;
  readonly ends: RecentEnds;
  /** Pages that are asked for at once. */
  readonly maxAtOnce: number;
  /** How long a page may wait for its turn. */
  readonly maxWaitMs: number;
  /** How long the stream may take to tell what a page has told already. */
  readonly maxLagMs: number;
  readonly metrics: { pageRead(outcome: EndsPage["kind"]): void };
}

/** A page that waits for its turn. Who wants the same one waits with it. */
interface QueuedPage {
  readonly after: string;
  readonly page: Promise<PageRead>;
  readonly resolve: (page: PageRead) => void;
  readonly timer: NodeJS.Timeout;
}

/** Reads pages of the log for watches that catch up: few at once, in the order in which they were asked for. */
export class PageReader {
  readonly #options: PageReaderOptions;
  /** By position, the one that has waited longest in front. */
  readonly #queue = new Map<string, QueuedPage>();
  #reading = 0;
  #catchUp: Promise<boolean> | undefined;
  #nextCatchUp: Promise<boolean> | undefined;

  constructor(options: PageReaderOptions) {
    this.#options = options;
  }

  /** Reads the page that follows `after`; `isUpToDate`: only when the ring has all that is in the log now. Does not reject. */
  async read(after: string, isUpToDate: boolean): Promise<PageRead> {
    if (isUpToDate && !(await this.#ringCaughtUp())) return { kind: "failed", detail: "the stream lags behind" };
    const page = await this.#page(after);
    return page.kind === "ends" ? { ...page, isUpToDate } : page;
  }

  #page(after: string): Promise<PageRead> {
    const queued = this.#queue.get(after);
    if (queued !== undefined) return queued.page;
    const { promise: page, resolve } = Promise.withResolvers<PageRead>();
    const timer = setTimeout(() => {
      this.#queue.delete(after);
      resolve({ kind: "crowded" });
    }, this.#options.maxWaitMs);
    this.#queue.set(after, { after, page, resolve, timer });
    this.#readQueued();
    return page;
  }

  #readQueued(): void {
    for (const queued of this.#queue.values()) {
      if (this.#reading >= this.#options.maxAtOnce) return;
      this.#queue.delete(queued.after);
      clearTimeout(queued.timer);
      // It does not reject.
      void this.#ask(queued);
    }
  }

  async #ask({ after, resolve }: QueuedPage): Promise<void> {
    const { events, ends, metrics } = this.#options;
    this.#reading += 1;
    const entriesBefore = ends.end;
    const page = await events.page(after);
    this.#reading -= 1;
    metrics.pageRead(page.kind);
    resolve(page.kind === "ends" ? { ...page, entriesBefore, isUpToDate: false } : page);
    this.#readQueued();
  }

  /** Resolves with true when the ring has all that was in the log at the call. One call is under way, and one that follows it. */
  #ringCaughtUp(): Promise<boolean> {
    if (this.#catchUp === undefined) {
      this.#catchUp = this.#catchUpRing().finally(() => {
        this.#catchUp = undefined;
      });
      return this.#catchUp;
    }
    this.#nextCatchUp ??= this.#catchUp.then(() => {
      this.#nextCatchUp = undefined;
      return this.#ringCaughtUp();
    });
    return this.#nextCatchUp;
  }

  async #catchUpRing(): Promise<boolean> {
    const { ends, stream, maxLagMs } = this.#options;
    let after = ends.position;
    let last: string | undefined;
    for (let more = true; more; ) {
      if (after === undefined) return false;
      const page = await this.#page(after);
      // The stream is about to tell of a reset.
      if (page.kind === "gone") return true;
      if (page.kind !== "ends") return false;
      last = page.ends.at(-1)?.position ?? last;
      after = page.next;
      more = page.more;
    }
    return last === undefined || (await stream.passed(last, maxLagMs));
  }
}
