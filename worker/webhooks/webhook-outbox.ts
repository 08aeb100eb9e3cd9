import type { LogPage } from "../session-store/session-log.ts";
import { endMessage, lossMessage, type WebhookMessage } from "./webhook-message.ts";

/**
 * The most messages that are sent at once: an object may have six connections that wait for a response (Workers' limits,
 * "Simultaneous open connections"), and one is the store's.
 */
export const MAX_SENDING = 5;

/** The most messages that are held. With so many the log is read no further. */
export const MAX_HELD = 100;

/** The most events that were read and that the cursor has not passed; a page may come on top. One message may be under way for 15 s. */
const MAX_PLACES = 10_000;

/** The log is read so often without a poke: for expiries, and for what other deployments end. */
export const POLL_MS = 15_000;

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** How long after each failed try the next one comes (Standard Webhooks 1.0.0, "Deliverability and reliability": its example). */
export const RETRY_DELAYS_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
];

/** Each delay is longer by up to this part of it, at random, so that messages which failed together do not come back together. */
export const JITTER = 0.1;

/** While too many messages are held, one of them is tried ahead of its schedule after 5 s, 10 s, 20 s ... up to a minute. */
const FIRST_PROBE_MS = 5 * SECOND_MS;
const LONGEST_PROBE_MS = MINUTE_MS;

/** A receiver's Retry-After is obeyed up to here. */
export const LONGEST_PAUSE_MS = HOUR_MS;

/** A message that failed, or that waits behind one of its session that did. */
export interface HeldMessage extends WebhookMessage {
  /** Failed tries of its schedule. */
  readonly tries: number;
  /** When the schedule has the next try, epoch ms. */
  readonly dueAt: number;
  /** Whether it may be tried ahead of its schedule: not since its last try by it. */
  readonly mayHurry: boolean;
}

/** What became of a try. */
export type WebhookOutcome =
  | { readonly kind: "delivered" }
  /** The receiver wants no more messages (410). */
  | { readonly kind: "gone" }
  | { readonly kind: "failed"; readonly error: string; readonly retryAfterMs: number | null };

/** What an outbox keeps besides the held messages. */
export interface OutboxState {
  /** All events up to here are delivered, given up, or held. Null: nothing was read yet. */
  readonly cursor: string | null;
  /** Whether the receiver has answered 410. */
  readonly isDisabled: boolean;
  /** Why the last try failed; null if it did not. */
  readonly lastError: string | null;
  /** Nothing is sent until then, epoch ms. */
  readonly pausedUntil: number;
  /** How often a message was tried because 100 are held, and when the next one is, epoch ms. */
  readonly probes: number;
  readonly probeAt: number;
}

/**
 * Keeps an outbox over a restart: its object is removed from memory whenever it does nothing for some seconds. All that one input
 * changes is stored together, or not at all.
 */
export interface OutboxStorage {
  /** Undefined if nothing was saved yet. */
  load(): OutboxState | undefined;
  save(state: OutboxState): void;
  /** In the order in which they were first held. */
  loadHeld(): readonly HeldMessage[];
  /** Holds the message, or stores its new schedule. */
  hold(message: HeldMessage): void;
  release(id: string): void;
}

/** What an outbox makes happen. None of these calls the outbox before it returns. */
export interface OutboxOutput {
  /** Read the ends of sessions in the log, then call {@link WebhookOutbox.readDone}. */
  read(after: string | null): void;
  /** Send the message, then call {@link WebhookOutbox.sendDone}. */
  send(message: WebhookMessage): void;
  /** For the operators, without ids. */
  warn(text: string): void;
}

/** How the sender of webhooks is doing. */
export interface WebhookStatus {
  /** `off`: WEBHOOK_URL is not set. `disabled`: the receiver has answered 410, and gets nothing until WEBHOOK_URL or WEBHOOK_SECRET changes. */
  readonly state: "off" | "on" | "disabled";
  /** Messages that failed and are tried again, and those that wait behind them. */
  readonly held: number;
  /** Whether others wait to be sent, or may be in the log, which is not read while too many are held or are sent first. */
  readonly behind: boolean;
  /** When the oldest held message's event happened, epoch ms. */
  readonly oldestAt: number | null;
  /** Why the last try failed, if none has succeeded since: `timeout`, `unreachable`, or the response's status. */
  readonly lastError: string | null;
}

const NEW: OutboxState = { cursor: null, isDisabled: false, lastError: null, pausedUntil: 0, probes: 0, probeAt: 0 };

/** A place in the log behind the cursor: an event, or the end of a page. */
interface Place {
  /** The cursor stands here once this place and all before it are done. */
  readonly position: string;
  isDone: boolean;
}

/** An event that was read and not sent yet. */
interface Waiting {
  readonly message: WebhookMessage;
  readonly place: Place;
}

/** A message under way. */
interface Sending {
  readonly message: WebhookMessage;
  /** Whether this is a try of its schedule. */
  readonly isScheduled: boolean;
  /** Undefined for a held message. */
  readonly place: Place | undefined;
}

/**
 * Decides what is sent to the receiver of webhooks, and when. It is a machine without I/O: its driver tells it the time, and what
 * became of what it asked for (webhook-sender.ts).
 *
 * The log of sessions is the outbox. Events are read from it in order, and sent, five at a time. The cursor moves over an event when
 * it is delivered or held, so a restart sends again what was under way.
 *
 * - A message that fails is held, and tried again by a schedule of three days. Then it is given up.
 * - Events of a session that has a held message are held behind it. Those of other sessions go on.
 * - After a failure one message is sent at a time, until one succeeds. Then every held message is tried at once, but only once
 *   between two tries of its schedule: a message that fails by itself is not tried after each that succeeds.
 * - 100 held messages stop the reading. Then one of them is tried each minute or more often, until the receiver takes it.
 * - Where the log has lost events behind the cursor, a message says so.
 */
export class WebhookOutbox {
  readonly #storage: OutboxStorage;
  readonly #output: OutboxOutput;
  readonly #random: () => number;
  readonly #held: Map<string, HeldMessage>;
  #state: OutboxState;
  /** Held messages that are to be tried now. */
  readonly #hurried = new Set<string>();
  /** What was read and the cursor has not passed. */
  readonly #places: Place[] = [];
  #waiting: readonly Waiting[] = [];
  readonly #sending = new Map<string, Sending>();
  /** The log is read up to here. */
  #readTo: string | null;
  #isReading = false;
  /** Whether the log may have more than was read. */
  #hasMore = true;
  /** Whether a read that was due had to wait, and none has followed it to the end of the log. */
  #isLate = false;
  #readAt = 0;

  /** @param random gives numbers in 0 <= x < 1 */
  constructor(storage: OutboxStorage, output: OutboxOutput, random: () => number = Math.random) {
    this.#storage = storage;
    this.#output = output;
    this.#random = random;
    this.#state = storage.load() ?? NEW;
    this.#readTo = this.#state.cursor;
    this.#held = new Map(storage.loadHeld().map((message) => [message.id, message]));
  }

  /** The receiver was given another address or secret: it gets messages again, if it wanted none, and gets the held ones now. */
  renew(): void {
    this.#change({ ...NEW, cursor: this.#state.cursor });
    for (const message of this.#held.values()) this.#hold(message, 0, 0);
  }

  /** The log has something new. */
  poked(nowMs: number): void {
    this.#hasMore = true;
    this.tick(nowMs);
  }

  /** Sends and reads what is due. */
  tick(nowMs: number): void {
    if (this.#state.isDisabled) return;
    this.#boundDeadlines(nowMs);
    const isBusy = this.#sendDue(nowMs);
    this.#moveCursor();
    const isDue = this.#hasMore || nowMs >= this.#readAt;
    const mustWait = isBusy || this.#isFull || this.#places.length > MAX_PLACES;
    if (isDue && mustWait) this.#isLate = true;
    if (!isDue || mustWait || this.#isReading) return;
    this.#isReading = true;
    this.#hasMore = false;
    this.#readAt = nowMs + POLL_MS;
    this.#output.read(this.#readTo);
  }

  /** The page that {@link OutboxOutput.read} was to read. */
  readDone(page: LogPage, nowMs: number): void {
    this.#isReading = false;
    if (page.kind !== "unavailable") {
      const messages = page.kind === "reset" ? [lossMessage(page.position, nowMs)] : page.events.map(endMessage);
      const read = messages.map((message) => {
        return { message, place: { position: message.id, isDone: this.#held.has(message.id) } };
      });
      this.#waiting = [...this.#waiting, ...read.filter(({ place }) => !place.isDone)];
      this.#places.push(...read.map(({ place }) => place), { position: page.position, isDone: true });
      this.#readTo = page.position;
      if (page.kind === "reset" || page.more) this.#hasMore = true;
      this.#isLate = this.#hasMore;
    }
    this.tick(nowMs);
  }

  /** What became of the message with this id, which {@link OutboxOutput.send} was to send. */
  sendDone(id: string, outcome: WebhookOutcome, nowMs: number): void {
    const sent = this.#sending.get(id);
    if (sent === undefined) throw new Error("a message that is not under way has an outcome");
    this.#sending.delete(id);
    if (outcome.kind === "delivered") {
      this.#release(id);
      this.#recover(nowMs);
    } else if (outcome.kind === "gone") {
      // Held, it is sent if the receiver is renewed.
      if (sent.place !== undefined) this.#hold(sent.message, 0, 0);
      if (!this.#state.isDisabled) this.#output.warn("the receiver of webhooks has answered 410, and gets no more");
      this.#change({ isDisabled: true, lastError: "410" });
    } else {
      this.#fail(sent, outcome.error, nowMs);
      const pausedUntil = nowMs + (outcome.retryAfterMs ?? 0);
      if (outcome.retryAfterMs !== null && pausedUntil > this.#state.pausedUntil) this.#change({ pausedUntil });
    }
    if (sent.place !== undefined) sent.place.isDone = true;
    this.#moveCursor();
    this.tick(nowMs);
  }

  /** When {@link tick} is to be called at the latest, epoch ms; null if it need not be. */
  wakeAt(nowMs: number): number | null {
    const { isDisabled, pausedUntil, probeAt } = this.#state;
    if (isDisabled) return null;
    const times = [this.#readAt, pausedUntil, probeAt, ...this.#heads().map(({ dueAt }) => dueAt)];
    // What is due waits for an outcome. The poll comes in any case, because a restart loses outcomes.
    return Math.min(nowMs + POLL_MS, ...times.filter((atMs) => atMs > nowMs));
  }

  get status(): WebhookStatus {
    const ats = [...this.#held.values()].map(({ at }) => at);
    return {
      state: this.#state.isDisabled ? "disabled" : "on",
      held: this.#held.size,
      behind: this.#isFull || this.#isLate || this.#waiting.length > 0,
      oldestAt: ats.length === 0 ? null : Math.min(...ats),
      lastError: this.#state.lastError,
    };
  }

  /** A message under way may have to be held. */
  get #isFull(): boolean {
    const isHeldIfItFails = [...this.#sending.values()].filter(({ place }) => place !== undefined);
    return this.#held.size + isHeldIfItFails.length >= MAX_HELD;
  }

  /** No deadline is farther away than when it was set, so that a clock that is set back delays nothing. */
  #boundDeadlines(nowMs: number): void {
    for (const message of this.#held.values()) {
      const latest = Math.ceil(nowMs + (RETRY_DELAYS_MS[message.tries - 1] ?? 0) * (1 + JITTER));
      if (message.dueAt > latest) this.#hold(message, message.tries, latest, message.mayHurry);
    }
    this.#readAt = Math.min(this.#readAt, nowMs + POLL_MS);
    const pausedUntil = Math.min(this.#state.pausedUntil, nowMs + LONGEST_PAUSE_MS);
    const probeAt = Math.min(this.#state.probeAt, nowMs + LONGEST_PROBE_MS);
    if (pausedUntil < this.#state.pausedUntil || probeAt < this.#state.probeAt) this.#change({ pausedUntil, probeAt });
  }

  /** Returns whether something has to wait that is due, other than for its session. */
  #sendDue(nowMs: number): boolean {
    if (nowMs < this.#state.pausedUntil) return true;
    const busy = new Set([...this.#sending.values()].map(({ message }) => message.sessid));
    const mayStart = () => this.#sending.size < (this.#state.lastError === null ? MAX_SENDING : 1);
    const start = (message: WebhookMessage, isScheduled: boolean, place?: Place) => {
      busy.add(message.sessid);
      this.#hurried.delete(message.id);
      this.#sending.set(message.id, { message, isScheduled, place });
      this.#output.send(message);
    };
    for (const message of this.#heads()) {
      if (!mayStart()) return true;
      const isDue = message.dueAt <= nowMs;
      if (!busy.has(message.sessid) && (isDue || this.#hurried.has(message.id))) start(message, isDue);
    }
    const held = new Set([...this.#held.values()].map(({ sessid }) => sessid));
    const waiting = this.#waiting;
    const blocked: Waiting[] = [];
    let taken = 0;
    for (const event of waiting) {
      if (!mayStart() || this.#isFull) break;
      taken += 1;
      const { message, place } = event;
      if (held.has(message.sessid)) {
        this.#hold(message, 0, 0);
        place.isDone = true;
      } else if (busy.has(message.sessid)) blocked.push(event);
      else start(message, true, place);
    }
    if (taken > 0) this.#waiting = [...blocked, ...waiting.slice(taken)];
    if (taken < waiting.length && this.#sending.size > 0) return true;
    const { probes, probeAt } = this.#state;
    if (this.#held.size < MAX_HELD || this.#sending.size > 0 || nowMs < probeAt) return false;
    this.#change({
      probes: probes + 1,
      probeAt: nowMs + Math.min(FIRST_PROBE_MS * 2 ** probes, LONGEST_PROBE_MS),
    });
    // Each in turn: one may fail by itself.
    const heads = this.#heads();
    const probe = heads[probes % heads.length];
    if (probe !== undefined) start(probe, false);
    return false;
  }

  /** The oldest held message of each session. */
  #heads(): HeldMessage[] {
    const sessids = new Set<number | null>();
    return [...this.#held.values()].filter(({ sessid }) => !sessids.has(sessid) && sessids.add(sessid));
  }

  #recover(nowMs: number): void {
    for (const message of this.#held.values()) {
      if (!message.mayHurry) continue;
      this.#hurried.add(message.id);
      this.#hold(message, message.tries, message.dueAt);
    }
    if (this.#state.lastError === null) return;
    this.#output.warn("the receiver of webhooks takes messages again");
    this.#change({ lastError: null, probes: 0, probeAt: nowMs + FIRST_PROBE_MS });
  }

  #fail({ message, isScheduled }: Sending, error: string, nowMs: number): void {
    if (this.#state.lastError === null) this.#output.warn(`the receiver of webhooks fails: ${error}`);
    if (this.#state.lastError !== error) this.#change({ lastError: error });
    if (!isScheduled) return;
    const tries = (this.#held.get(message.id)?.tries ?? 0) + 1;
    const delayMs = RETRY_DELAYS_MS[tries - 1];
    if (delayMs === undefined) {
      this.#release(message.id);
      this.#output.warn(`a webhook is given up after ${tries} tries: ${error}`);
      return;
    }
    this.#hold(message, tries, Math.floor(nowMs + delayMs * (1 + JITTER * this.#random())), true);
  }

  #change(changes: Partial<OutboxState>): void {
    this.#state = { ...this.#state, ...changes };
    this.#storage.save(this.#state);
  }

  #hold({ id, sessid, at, body }: WebhookMessage, tries: number, dueAt: number, mayHurry = false): void {
    const message = { id, sessid, at, body, tries, dueAt, mayHurry };
    this.#held.set(id, message);
    this.#storage.hold(message);
  }

  #release(id: string): void {
    this.#hurried.delete(id);
    if (this.#held.delete(id)) this.#storage.release(id);
  }

  #moveCursor(): void {
    const undone = this.#places.findIndex(({ isDone }) => !isDone);
    const passed = this.#places.splice(0, undone === -1 ? this.#places.length : undone).at(-1);
    if (passed !== undefined && passed.position !== this.#state.cursor) this.#change({ cursor: passed.position });
  }
}
