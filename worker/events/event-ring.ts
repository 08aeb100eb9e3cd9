import type { SessionEvent } from "../session-store/session-log.ts";

export type EventKinds = ReadonlySet<SessionEvent["kind"]>;

/** Events in order, and where a reader of the log stands that has seen them. */
export interface EventBatch {
  readonly events: readonly SessionEvent[];
  readonly position: string;
}

/** When so many events are too many, they are removed at once: that costs less than one with each event that comes. */
const SURPLUS_SHARE = 1 / 8;

/** Batches that are kept for the listeners that take the same. */
const MAX_BATCHES = 64;

/** The newest events of the log, without a gap, for the many listeners that stand near its end. */
export class EventRing {
  readonly #capacity: number;
  #events: SessionEvent[] = [];
  /** The number of the first event; numbers are this object's own. */
  #first = 0;
  /** The number of the event behind each position. */
  readonly #numbers = new Map<string, number>();
  #position: string | null = null;
  /** Batches from the ring as it is now: many listeners take the same. */
  readonly #batches = new Map<string, EventBatch>();

  /** @param capacity the events that it keeps at least */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Where the newest event stands; null while nothing is known of the log. */
  get position(): string | null {
    return this.#position;
  }

  /** Forgets everything. `position`: where in the log it goes on. */
  restart(position: string | null): void {
    this.#first += this.#events.length;
    this.#events = [];
    this.#numbers.clear();
    this.#batches.clear();
    this.#stand(position);
  }

  /** Adds the events that follow in the log; `position` is behind the last of them. */
  append({ events, position }: EventBatch): void {
    for (const event of events) {
      this.#events.push(event);
      this.#numbers.set(event.position, this.#first + this.#events.length);
    }
    const surplus = this.#events.length - this.#capacity;
    if (surplus > this.#capacity * SURPLUS_SHARE) {
      for (const removed of this.#events.splice(0, surplus)) this.#numbers.delete(removed.position);
      this.#first += surplus;
    }
    this.#batches.clear();
    this.#stand(position);
  }

  /** Whether a reader that stands here finds in the ring what follows. */
  has(position: string): boolean {
    return (this.#numbers.get(position) ?? -1) >= this.#first;
  }

  /**
   * What follows a position: events of the kinds wanted (null: all), and how far that is; undefined if the position is not in the
   * ring. At the end of the ring there are no events, and the position is its own.
   */
  after(position: string, kinds: EventKinds | null, limit: number): EventBatch | undefined {
    const number = this.#numbers.get(position);
    if (number === undefined || number < this.#first) return undefined;
    const key = `${number} ${limit} ${kinds === null ? "all" : [...kinds].sort()}`;
    const found = this.#batches.get(key) ?? this.#collect(number - this.#first, position, kinds, limit);
    if (this.#batches.size >= MAX_BATCHES) this.#batches.clear();
    this.#batches.set(key, found);
    return found;
  }

  #collect(from: number, start: string, kinds: EventKinds | null, limit: number): EventBatch {
    const events: SessionEvent[] = [];
    let position = start;
    for (let index = from; index < this.#events.length && events.length < limit; index++) {
      const event = this.#events[index];
      if (event === undefined) break;
      position = event.position;
      if (kinds?.has(event.kind) ?? true) events.push(event);
    }
    return { events, position };
  }

  #stand(position: string | null): void {
    this.#position = position;
    if (position !== null) this.#numbers.set(position, this.#first + this.#events.length);
  }
}
