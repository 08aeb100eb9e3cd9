import type { LogPage, SessionEvent } from "../session-store/session-log.ts";
import { type EventBatch, type EventKinds, EventRing } from "./event-ring.ts";

/** What the driver of a feed must do. `Listener` is what the driver knows a listener by, such as its stream. */
export interface FeedOutput<Listener> {
  /**
   * Begin to read the log, all kinds, after a position (null: from now on), and call {@link EventFeed.readDone} once when it is done,
   * not before this call has returned. There is one such read at a time. `watchMs`: for how long writes must call
   * {@link EventFeed.poked} (LogRead.watchMs); undefined: they know that already.
   */
  read(read: { readonly after: string | null; readonly watchMs: number | undefined }): void;
  /** Begin to read the page behind a position for one listener, and call {@link EventFeed.pageRead} once, in the same way. */
  readPage(
    listener: Listener,
    read: { readonly after: string; readonly kinds: EventKinds | null; readonly limit: number },
  ): void;
  /** Write this to the listener, and call {@link EventFeed.written} when it has taken it; until then it is sent nothing more. */
  send(listener: Listener, message: FeedMessage): void;
  /**
   * End the listener's stream: it does not read, or may not listen any more. The feed has already forgotten it. `isWriting`: it has
   * not taken what it was sent, so the stream must be broken off.
   */
  end(listener: Listener, isWriting: boolean): void;
}

/** What a listener is told. */
export type FeedMessage =
  /** What followed its position, in the log's order. */
  | { readonly kind: "events"; readonly events: readonly SessionEvent[] }
  /** There was nothing for it up to this position: it resumes from here. */
  | { readonly kind: "checkpoint"; readonly position: string }
  /** Events after its position are lost; it goes on after this one. */
  | { readonly kind: "reset"; readonly position: string };

/** How somebody listens. */
export interface Listening {
  /** The position to catch up from; null: from now on. */
  readonly after: string | null;
  /** The kinds of events that it is sent; null: all. */
  readonly kinds: EventKinds | null;
  /** The session on whose behalf it listens: it is ended when this session ends or changes. Null: a service. */
  readonly sessid: number | null;
}

export interface FeedLimits {
  /** The events that are kept for listeners that are behind. */
  readonly ringEvents: number;
  /** The most events that are sent at once. An event has 1 KB at most, so a listener that does not read holds 250 KB. */
  readonly maxBatch: number;
  /** Of all listeners together, the events that were sent and not taken: beyond it a batch has at most `minBatch`. */
  readonly maxUnread: number;
  readonly minBatch: number;
  /** The listeners at once that the store is asked for. */
  readonly maxPageReads: number;
  /** So often the log is read while somebody listens and nobody pokes. */
  readonly pollMs: number;
  /** Reads for pokes begin at most this often. */
  readonly minReadIntervalMs: number;
  /** For so long a read has itself poked, and so long before the end the next one prolongs it. */
  readonly watchMs: number;
  readonly watchRenewalMs: number;
  /** After so much silence a listener gets a checkpoint: that shows it, and proxies, that the connection is alive. */
  readonly checkpointMs: number;
  /** A listener that has not taken for so long what it was sent is ended. */
  readonly stalledMs: number;
}

export const DEFAULT_FEED_LIMITS: FeedLimits = {
  ringEvents: 10_000,
  maxBatch: 250,
  // With a smallest batch for each of a thousand listeners 64 MiB, of the 128 MB that a Durable Object has.
  maxUnread: 48 * 1024,
  minBatch: 16,
  maxPageReads: 8,
  pollMs: 500,
  minReadIntervalMs: 20,
  watchMs: 60_000,
  watchRenewalMs: 40_000,
  checkpointMs: 15_000,
  stalledMs: 30_000,
};

/**
 * Between the session log and its listeners (docs/http-api.md, "Events"): each is sent what follows its position, in order, without a gap.
 *
 * | input | what the feed does |
 * | --- | --- |
 * | a listener connects | it waits for a read that begins now or when the current one is done; then it gets a checkpoint |
 * | poked | a read begins, or follows the current one |
 * | a read is done | its events go into the ring; listeners that have taken what they were sent get what follows |
 * | a read says reset | the ring is emptied; each listener catches up from its own position, and the store says what it lost |
 * | written | the listener gets what follows its position |
 * | a page is read | the listener gets it, or is told of a reset. At the end of the log it waits for a read that begins later |
 * | the time of `deadlineMs` | a read, pages that were not read, checkpoints; listeners that do not read are ended |
 *
 * What follows a position is in the ring, or the listener is behind: then it is read for it from the store, a page at a time, after it
 * has taken the one before. So a listener holds one batch in memory, however far behind it is, and the more is held for all of them,
 * the smaller are the batches. While nobody listens, nothing is read and no time is waited for.
 */
export class EventFeed<Listener> {
  readonly #output: FeedOutput<Listener>;
  readonly #limits: FeedLimits;
  readonly #ring: EventRing;
  readonly #listeners = new Map<Listener, ListenerState<Listener>>();
  /** They are behind and wait for a page, in the order in which they came. */
  readonly #behind = new Set<ListenerState<Listener>>();
  #pageReads = 0;
  /** What is known of a batch, by its events: many listeners hold the same batch of the ring. */
  readonly #sentBatches = new WeakMap<readonly SessionEvent[], SentBatch>();
  /** The events of all batches that somebody has not taken. */
  #unread = 0;
  /** The number of the newest read that began, and of the newest that came to the end of the log. */
  #readsBegun = 0;
  #readsDone = 0;
  #isReading = false;
  /** Whether somebody waits for a read that has not begun. */
  #owesRead = false;
  #mayReadAtMs = Number.NEGATIVE_INFINITY;
  #pollAtMs = 0;
  #watchedUntilMs = Number.NEGATIVE_INFINITY;
  /** Called when a read is over: those of the current one, and of the next. */
  #waiters: (() => void)[] = [];
  #nextWaiters: (() => void)[] = [];

  constructor(output: FeedOutput<Listener>, limits: FeedLimits = DEFAULT_FEED_LIMITS) {
    this.#output = output;
    this.#limits = limits;
    this.#ring = new EventRing(limits.ringEvents);
  }

  /** How many listen. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Somebody listens from now on. */
  connected(listener: Listener, listening: Listening, nowMs: number): void {
    if (this.#listeners.size === 0) this.#pollAtMs = nowMs + this.#limits.pollMs;
    this.#listeners.set(listener, new ListenerState(listener, listening, this.#readsBegun + 1, nowMs));
    this.#owesRead = true;
    this.#readIfDue(nowMs);
  }

  /** The listener is not there any more; unknown ones are ignored. */
  gone(listener: Listener): void {
    const state = this.#listeners.get(listener);
    if (state === undefined) return;
    this.#listeners.delete(listener);
    this.#behind.delete(state);
    this.#release(state);
    if (this.#listeners.size > 0) return;
    // What comes until somebody listens again is in the store.
    this.#ring.restart(null);
    this.#owesRead = false;
    this.#settle();
  }

  /** There is something new in the log. Calls `done` when a read that began after this call is over. */
  poked(done: () => void, nowMs: number): void {
    if (this.#listeners.size === 0) {
      done();
      return;
    }
    this.#nextWaiters.push(done);
    this.#owesRead = true;
    this.#readIfDue(nowMs);
  }

  /** The read that {@link FeedOutput.read} began is done. */
  readDone(page: LogPage, nowMs: number): void {
    this.#isReading = false;
    const isFirst = this.#ring.position === null;
    if (page.kind === "unavailable") {
      this.#watchedUntilMs = Number.NEGATIVE_INFINITY;
      // The next poll reads again.
      this.#mayReadAtMs = nowMs + this.#limits.pollMs;
    } else if (this.#listeners.size === 0) {
      // The last one left during the read.
    } else if (page.kind === "reset" || isFirst) {
      this.#ring.restart(page.position);
      if (!isFirst) this.#endSessions(null);
    } else {
      this.#ring.append(page);
      if (page.events.length > 0) this.#endSessions(page.events);
    }
    const hasMore = page.kind === "events" && page.more && this.#listeners.size > 0;
    if (page.kind !== "unavailable" && !hasMore) this.#readsDone = this.#readsBegun;
    for (const state of [...this.#listeners.values()]) this.#advance(state, nowMs);
    if (hasMore && this.#listeners.size > 0) this.#read(undefined);
    else {
      this.#settle();
      this.#readIfDue(nowMs);
    }
  }

  /** The read that {@link FeedOutput.readPage} began is done. */
  pageRead(listener: Listener, page: LogPage, nowMs: number): void {
    this.#pageReads -= 1;
    const state = this.#listeners.get(listener);
    if (state !== undefined) this.#takePage(state, page, nowMs);
    this.#readPages();
  }

  /** The listener has taken what it was sent. */
  written(listener: Listener, nowMs: number): void {
    const state = this.#listeners.get(listener);
    if (state === undefined) return;
    state.isWriting = false;
    this.#release(state);
    this.#advance(state, nowMs);
  }

  /** When {@link tick} must be called next; undefined while there is nothing to wait for. */
  get deadlineMs(): number | undefined {
    if (this.#listeners.size === 0) return undefined;
    return this.#owesRead && !this.#isReading ? Math.min(this.#pollAtMs, this.#mayReadAtMs) : this.#pollAtMs;
  }

  /** The time of `deadlineMs` has come. */
  tick(nowMs: number): void {
    if (this.#listeners.size > 0 && nowMs >= this.#pollAtMs) this.#poll(nowMs);
    this.#readIfDue(nowMs);
  }

  #poll(nowMs: number): void {
    this.#pollAtMs = nowMs + this.#limits.pollMs;
    this.#owesRead = true;
    for (const state of [...this.#listeners.values()]) {
      const silentMs = nowMs - state.sentMs;
      if (state.isWriting) {
        if (silentMs >= this.#limits.stalledMs) this.#end(state);
      } else if (state.isIdle && state.position !== null && silentMs >= this.#limits.checkpointMs) {
        this.#send(state, { kind: "checkpoint", position: state.position }, nowMs);
      } else this.#advance(state, nowMs);
    }
  }

  #readIfDue(nowMs: number): void {
    if (!this.#owesRead || this.#isReading || nowMs < this.#mayReadAtMs) return;
    const { minReadIntervalMs, watchMs, watchRenewalMs } = this.#limits;
    this.#owesRead = false;
    this.#readsBegun += 1;
    this.#mayReadAtMs = nowMs + minReadIntervalMs;
    this.#waiters = this.#nextWaiters;
    this.#nextWaiters = [];
    const renews = this.#watchedUntilMs - nowMs < watchRenewalMs;
    if (renews) this.#watchedUntilMs = nowMs + watchMs;
    this.#read(renews ? watchMs : undefined);
  }

  #read(watchMs: number | undefined): void {
    this.#isReading = true;
    this.#output.read({ after: this.#ring.position, watchMs });
  }

  /** The current read is over; and the next will not begin if nobody listens. */
  #settle(): void {
    const waiters = this.#listeners.size > 0 ? this.#waiters : [...this.#waiters, ...this.#nextWaiters];
    this.#waiters = [];
    if (this.#listeners.size === 0) this.#nextWaiters = [];
    for (const done of waiters) done();
  }

  /** Sends a listener what follows its position, if it has taken what it was sent before. */
  #advance(state: ListenerState<Listener>, nowMs: number): void {
    if (state.isWriting || state.isReading || state.awaitedRead > this.#readsDone) return;
    if (!state.isOpen) {
      state.isOpen = true;
      state.position ??= this.#ring.position;
      if (state.position !== null) this.#send(state, { kind: "checkpoint", position: state.position }, nowMs);
      return;
    }
    if (state.position === null) return;
    const batch = this.#ring.after(state.position, state.kinds, this.#batchLimit);
    if (batch === undefined) {
      this.#behind.add(state);
      this.#readPages();
    } else this.#sendBatch(state, batch, nowMs);
  }

  #readPages(): void {
    for (const state of this.#behind) {
      if (this.#pageReads >= this.#limits.maxPageReads) return;
      this.#behind.delete(state);
      if (state.position === null) continue;
      state.isReading = true;
      this.#pageReads += 1;
      this.#output.readPage(state.listener, { after: state.position, kinds: state.kinds, limit: this.#batchLimit });
    }
  }

  #takePage(state: ListenerState<Listener>, page: LogPage, nowMs: number): void {
    state.isReading = false;
    // The next poll tries again.
    if (page.kind === "unavailable") return;
    // At the end of the log: what follows will be in the ring when a read is done that begins from now on.
    if ((page.kind === "reset" || !page.more) && !this.#ring.has(page.position)) {
      state.awaitedRead = this.#readsBegun + 1;
      this.#owesRead = true;
    }
    if (page.kind === "reset") {
      state.position = page.position;
      this.#send(state, { kind: "reset", position: page.position }, nowMs);
    } else this.#sendBatch(state, page, nowMs);
    this.#readIfDue(nowMs);
  }

  #sendBatch(state: ListenerState<Listener>, batch: EventBatch, nowMs: number): void {
    const { events, position } = batch;
    const isAtEnd = position === state.position;
    state.position = position;
    if (events.length > 0) this.#send(state, { kind: "events", events }, nowMs);
    else if (!isAtEnd) this.#advance(state, nowMs);
  }

  #send(state: ListenerState<Listener>, message: FeedMessage, nowMs: number): void {
    state.isWriting = true;
    state.sentMs = nowMs;
    if (message.kind === "events") this.#hold(state, message.events);
    this.#output.send(state.listener, message);
  }

  /** A share of what may still be held, so that many who do not read take less and less of it. */
  get #batchLimit(): number {
    const { maxBatch, minBatch, maxUnread } = this.#limits;
    return Math.max(minBatch, Math.min(maxBatch, Math.floor((maxUnread - this.#unread) / BATCHES_LEFT)));
  }

  #hold(state: ListenerState<Listener>, events: readonly SessionEvent[]): void {
    const batch = this.#sentBatches.get(events) ?? { events: events.length, holders: 0 };
    this.#sentBatches.set(events, batch);
    if (batch.holders === 0) this.#unread += batch.events;
    batch.holders += 1;
    state.unread = batch;
  }

  #release(state: ListenerState<Listener>): void {
    const batch = state.unread;
    state.unread = undefined;
    if (batch === undefined) return;
    batch.holders -= 1;
    if (batch.holders === 0) this.#unread -= batch.events;
  }

  /** Ends those who listen on behalf of a session that has ended or changed; null: of any, because nobody knows. */
  #endSessions(events: readonly SessionEvent[] | null): void {
    const states = [...this.#listeners.values()].filter(({ sessid }) => sessid !== null);
    if (states.length === 0) return;
    const revoked = events && new Set(events.filter(({ kind }) => kind !== "began").map(({ sessid }) => sessid));
    for (const state of states) if (revoked?.has(state.sessid ?? 0) ?? true) this.#end(state);
  }

  #end(state: ListenerState<Listener>): void {
    this.gone(state.listener);
    this.#output.end(state.listener, state.isWriting);
  }
}

/** The batches that what may still be held is for. */
const BATCHES_LEFT = 64;

/** A batch that was sent; the events themselves are not kept for those who hold it. */
interface SentBatch {
  readonly events: number;
  /** The listeners that have not taken it yet. */
  holders: number;
}

/** A listener of a feed. */
class ListenerState<Listener> {
  readonly listener: Listener;
  readonly kinds: EventKinds | null;
  readonly sessid: number | null;
  /** It was sent everything up to here; null: its first read says. */
  position: string | null;
  /** It is sent nothing before the read of this number is done. */
  awaitedRead: number;
  /** Whether it was sent its first checkpoint. */
  isOpen = false;
  /** Whether it has not taken yet what it was sent. */
  isWriting = false;
  /** The batch that it has not taken yet. */
  unread: SentBatch | undefined;
  /** Whether a page is being read for it. */
  isReading = false;
  /** When it was last sent something. */
  sentMs: number;

  /** Whether it has taken all that it was sent, and nothing is under way for it. */
  get isIdle(): boolean {
    return this.isOpen && !this.isWriting && !this.isReading;
  }

  constructor(listener: Listener, { after, kinds, sessid }: Listening, awaitedRead: number, nowMs: number) {
    this.listener = listener;
    this.kinds = kinds;
    this.sessid = sessid;
    this.position = after;
    this.awaitedRead = awaitedRead;
    this.sentMs = nowMs;
  }
}
