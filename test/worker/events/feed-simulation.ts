import { EventFeed, type FeedLimits, type FeedMessage } from "../../../worker/events/event-feed.ts";
import type { EventKinds } from "../../../worker/events/event-ring.ts";
import type { LogPage, SessionEvent } from "../../../worker/session-store/session-log.ts";
import { type Random, seededRandom } from "../../support/random.ts";
import { VirtualClock } from "../../support/simulator/virtual-clock.ts";

const KINDS = ["began", "changed", "ended"] as const;

/** Small, so that listeners fall behind the ring, and pages and reads of several pages are common. */
const LIMITS: FeedLimits = {
  ringEvents: 16,
  maxBatch: 5,
  maxUnread: 64,
  minBatch: 1,
  maxPageReads: 2,
  pollMs: 500,
  minReadIntervalMs: 20,
  watchMs: 60_000,
  watchRenewalMs: 40_000,
  checkpointMs: 15_000,
  stalledMs: 30_000,
};
const HUB_PAGE = 8;
/** Entries of the log. */
const MAX_KEPT = 200;

/** What happens in a scenario, for its faults to be told from one that has none. */
export interface SimulationCounts {
  events: number;
  resets: number;
  checkpoints: number;
  reconnects: number;
  stalled: number;
  pages: number;
}

/** An entry of the log, which knows its predecessor for ever: a failover makes another entry the successor of the same one. */
interface Entry {
  readonly event: SessionEvent;
  readonly before: Entry | null;
}

/** A log that is trimmed, that loses its end, and that cannot always be read. */
class SimulatedLog {
  readonly entries = new Map<string, Entry>();
  /** What can be read, the oldest first. */
  kept: Entry[] = [];
  isDown = false;
  failovers = 0;
  #count = 0;

  constructor() {
    this.append("began", 0, 0);
  }

  get end(): Entry {
    const last = this.kept.at(-1);
    if (last === undefined) throw new Error("the log is empty");
    return last;
  }

  append(kind: SessionEvent["kind"], sessid: number, at: number): void {
    this.#count += 1;
    const reason = kind === "ended" ? "deleted" : null;
    const event = { position: `${this.#count}_1_x`, at, kind, reason, sessid, user: null } as const;
    const entry = { event, before: this.kept.at(-1) ?? null };
    this.entries.set(event.position, entry);
    this.kept.push(entry);
    if (this.kept.length > MAX_KEPT) this.trim(1);
  }

  trim(count: number): void {
    this.kept = this.kept.slice(Math.min(count, this.kept.length - 1));
  }

  /** A failover to a replica that lacks the last entries. */
  lose(count: number): void {
    this.failovers += 1;
    this.kept = this.kept.slice(0, Math.max(1, this.kept.length - count));
  }

  has(position: string): boolean {
    return this.kept.some(({ event }) => event.position === position);
  }

  read(after: string | null, limit: number, kinds: EventKinds | null): LogPage {
    if (this.isDown) return { kind: "unavailable" };
    const end = this.end.event.position;
    if (after === null) return { kind: "events", events: [], position: end, more: false };
    const from = this.kept.findIndex(({ event }) => event.position === after);
    if (from < 0) return { kind: "reset", position: end };
    const events: SessionEvent[] = [];
    let position = after;
    for (const { event } of this.kept.slice(from + 1)) {
      if (events.length === limit) break;
      position = event.position;
      if (kinds?.has(event.kind) ?? true) events.push(event);
    }
    return { kind: "events", events, position, more: position !== end };
  }
}

/** A client that listens, and connects again from its position when its stream ends. It checks what it is told. */
class SimulatedListener {
  readonly kinds: EventKinds | null;
  position: string | null = null;
  connection: Connection | undefined;
  readonly #log: SimulatedLog;
  readonly #counts: SimulationCounts;
  /** Those of the log when it connected. */
  failovers = 0;

  constructor(log: SimulatedLog, kinds: EventKinds | null, counts: SimulationCounts) {
    this.#log = log;
    this.kinds = kinds;
    this.#counts = counts;
  }

  take(message: FeedMessage): void {
    if (message.kind === "events") {
      if (message.events.length === 0) throw new Error("a message without events");
      for (const event of message.events) this.#takeEvent(event);
      return;
    }
    const { kind, position } = message;
    if (!this.#log.entries.has(position)) throw new Error(`${kind}: nothing is at ${position}`);
    if (kind === "reset") {
      this.#counts.resets += 1;
      const { failovers } = this.#log;
      // The feed may have been beyond it, at an event that was not wanted and that a failover has lost.
      const isLost = this.position === null || !this.#log.has(this.position) || failovers > this.failovers;
      if (!isLost) throw new Error("a reset from a position that the log has");
    } else {
      this.#counts.checkpoints += 1;
      if (this.position !== null) this.#expectNothingBetween(position, false);
    }
    this.position = position;
  }

  /** Whether it was told everything that the log has. */
  get isUpToDate(): boolean {
    try {
      this.#expectNothingBetween(this.#log.end.event.position, false);
      return this.position !== null;
    } catch {
      return false;
    }
  }

  #takeEvent(event: SessionEvent): void {
    this.#counts.events += 1;
    if (!(this.kinds?.has(event.kind) ?? true))
      throw new Error(`an event of a kind that was not wanted: ${event.kind}`);
    if (this.#log.entries.get(event.position)?.event !== event) throw new Error("an event that is not in the log");
    this.#expectNothingBetween(event.position, true);
    this.position = event.position;
  }

  /** Throws unless `to` follows the listener's position, and no event between them was wanted. */
  #expectNothingBetween(to: string, isEvent: boolean): void {
    let entry = this.#log.entries.get(to) ?? null;
    if (isEvent) entry = entry?.before ?? null;
    for (; entry !== null && entry.event.position !== this.position; entry = entry.before) {
      const { kind, position } = entry.event;
      if (this.kinds?.has(kind) ?? true) throw new Error(`${to} came after ${this.position}: ${position} is missing`);
    }
    if (entry === null) throw new Error(`${to} came after ${this.position}, which it does not follow`);
  }
}

/** A listener's stream: the feed's end of it and the client's. */
interface Connection {
  readonly listener: SimulatedListener;
  readonly hub: number;
  isWriting: boolean;
  /** It takes nothing any more, without saying so. */
  isStuck: boolean;
  hasEnded: boolean;
}

/** Runs a scenario. Throws what went wrong, with the seed. */
export function simulateFeed(seed: number): SimulationCounts {
  try {
    return new Simulation(seed).run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

class Simulation {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly log = new SimulatedLog();
  readonly counts: SimulationCounts = { events: 0, resets: 0, checkpoints: 0, reconnects: 0, stalled: 0, pages: 0 };
  readonly listeners: SimulatedListener[];
  /** The number of the hub that runs: those before it are gone. */
  #hub = 0;
  #feed: EventFeed<Connection>;
  #reads = 0;
  #pageReads = 0;
  #isCalm = false;
  #armedMs: number | undefined;
  #watchedUntilMs = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.#feed = this.#startHub();
    this.listeners = Array.from({ length: this.random.integer(1, 6) }, () => {
      const wanted = KINDS.filter(() => this.random.chance(0.5));
      return new SimulatedListener(this.log, this.random.chance(0.3) ? null : new Set(wanted), this.counts);
    });
  }

  run(): SimulationCounts {
    const { clock } = this;
    const endMs = this.random.integer(20_000, 80_000);
    for (const listener of this.listeners) clock.in(this.random.integer(0, 5_000), () => this.#connect(listener));
    this.#trouble(endMs);
    clock.run(endMs);
    this.#isCalm = true;
    this.log.isDown = false;
    clock.at(endMs + 100_000, () => {
      for (let count = 0; count < 30; count++) this.#write();
    });
    clock.run(endMs + 110_000);
    for (const listener of this.listeners) {
      if (!listener.isUpToDate)
        throw new Error(`a listener stays at ${listener.position} of ${this.log.end.event.position}`);
    }
    this.#leave();
    return this.counts;
  }

  /** When the last listener has left, nothing is read, and nothing is waited for. */
  #leave(): void {
    for (const { connection } of this.listeners) if (connection !== undefined) this.#feed.gone(connection);
    const reads = this.#reads + this.#pageReads;
    if (this.#feed.deadlineMs !== undefined) throw new Error("the feed waits for a time while nobody listens");
    this.#write();
    let isDone = false;
    this.#feed.poked(() => {
      isDone = true;
    }, this.clock.nowMs);
    if (!isDone || this.#reads + this.#pageReads !== reads) throw new Error("the feed reads while nobody listens");
  }

  #trouble(endMs: number): void {
    const { clock, random, log } = this;
    const often = random.integer(50, 1_000);
    const next = (): void => {
      if (clock.nowMs >= endMs) return;
      clock.in(random.integer(1, often), next);
      const dice = random.next();
      if (dice < 0.75)
        for (let count = random.integer(1, random.chance(0.1) ? 60 : 3); count > 0; count--) this.#write();
      else if (dice < 0.8) log.trim(random.integer(0, 40));
      else if (dice < 0.82) log.lose(random.integer(1, 4));
      else if (dice < 0.84) log.isDown = !log.isDown;
      else if (dice < 0.87) this.#restartHub();
      else if (dice < 0.93) this.#drop();
      else if (dice < 0.96) this.#stick();
    };
    clock.in(random.integer(1, often), next);
  }

  #write(): void {
    const { clock, random, log } = this;
    log.append(KINDS[random.integer(0, 2)] ?? "began", random.integer(1, 5), clock.nowMs);
    // Only a write within the time of a watch pokes, and the poke may be lost.
    if (clock.nowMs > this.#watchedUntilMs || random.chance(0.2)) return;
    const hub = this.#hub;
    clock.in(random.integer(0, 5), () => {
      if (hub === this.#hub) this.#input(() => this.#feed.poked(() => undefined, clock.nowMs));
    });
  }

  #startHub(): EventFeed<Connection> {
    const { clock, random } = this;
    this.#hub += 1;
    const hub = this.#hub;
    this.#armedMs = undefined;
    let isReading = false;
    let pageReads = 0;
    // A reply shows the log as it was at some moment between the request and the reply.
    const read = (call: () => LogPage, done: (page: LogPage) => void): void => {
      clock.in(random.integer(1, 20), () => {
        const page = call();
        clock.in(random.integer(1, random.chance(0.05) ? 900 : 20), () => {
          const isLost = !this.#isCalm && random.chance(0.03);
          if (hub === this.#hub) this.#input(() => done(isLost ? { kind: "unavailable" } : page));
        });
      });
    };
    return new EventFeed<Connection>(
      {
        read: ({ after, watchMs }) => {
          if (isReading) throw new Error("two reads at once");
          isReading = true;
          this.#reads += 1;
          const call = () => {
            if (watchMs !== undefined && !this.log.isDown) {
              this.#watchedUntilMs = Math.max(this.#watchedUntilMs, clock.nowMs + watchMs);
            }
            return this.log.read(after, HUB_PAGE, null);
          };
          read(call, (page) => {
            isReading = false;
            this.#feed.readDone(page, clock.nowMs);
          });
        },
        readPage: (connection, { after, kinds, limit }) => {
          pageReads += 1;
          this.counts.pages += 1;
          this.#pageReads += 1;
          if (pageReads > LIMITS.maxPageReads) throw new Error("too many reads of pages at once");
          read(
            () => this.log.read(after, limit, kinds),
            (page) => {
              pageReads -= 1;
              this.#feed.pageRead(connection, page, clock.nowMs);
            },
          );
        },
        send: (connection, message) => this.#send(connection, message),
        end: (connection) => {
          if (!connection.isWriting) throw new Error("a listener that reads was ended");
          this.counts.stalled += 1;
          this.#endConnection(connection);
        },
      },
      LIMITS,
    );
  }

  #send(connection: Connection, message: FeedMessage): void {
    const { clock, random } = this;
    if (connection.isWriting) throw new Error("a message before the last one was taken");
    connection.isWriting = true;
    let isTaken = false;
    const slowMs = !this.#isCalm && random.chance(0.1) ? 20_000 : 30;
    clock.in(random.integer(0, slowMs), () => {
      if (connection.hub !== this.#hub || connection.hasEnded || connection.isStuck) return;
      isTaken = true;
      connection.isWriting = false;
      connection.listener.take(message);
      this.#input(() => this.#feed.written(connection, clock.nowMs));
    });
    clock.in(LIMITS.stalledMs + 2 * LIMITS.pollMs, () => {
      if (!isTaken && !connection.hasEnded) throw new Error("a listener that does not read was not ended");
    });
  }

  #connect(listener: SimulatedListener): void {
    const connection = { listener, hub: this.#hub, isWriting: false, isStuck: false, hasEnded: false };
    listener.connection = connection;
    listener.failovers = this.log.failovers;
    const { position, kinds } = listener;
    this.#input(() => this.#feed.connected(connection, { after: position, kinds, sessid: null }, this.clock.nowMs));
  }

  /** The client notices and connects again. */
  #endConnection(connection: Connection): void {
    connection.hasEnded = true;
    this.counts.reconnects += 1;
    this.clock.in(this.random.integer(1, 3_000), () => this.#connect(connection.listener));
  }

  #drop(): void {
    const { connection } = this.listeners[this.random.integer(0, this.listeners.length - 1)] ?? {};
    if (connection === undefined || connection.hasEnded || connection.isStuck) return;
    this.#input(() => this.#feed.gone(connection));
    this.#endConnection(connection);
  }

  #stick(): void {
    const { connection } = this.listeners[this.random.integer(0, this.listeners.length - 1)] ?? {};
    if (connection !== undefined) connection.isStuck = true;
  }

  #restartHub(): void {
    const lost = this.listeners.flatMap(({ connection }) => connection ?? []).filter(({ hasEnded }) => !hasEnded);
    this.#feed = this.#startHub();
    for (const connection of lost) this.#endConnection(connection);
  }

  /** Gives the feed an input, and ticks it at its deadline. */
  #input(give: () => void): void {
    give();
    const { deadlineMs } = this.#feed;
    if (deadlineMs === undefined || (this.#armedMs !== undefined && this.#armedMs <= deadlineMs)) return;
    this.#armedMs = deadlineMs;
    const hub = this.#hub;
    this.clock.at(deadlineMs, () => {
      if (hub !== this.#hub || this.#armedMs !== deadlineMs) return;
      this.#armedMs = undefined;
      this.#input(() => this.#feed.tick(this.clock.nowMs));
    });
  }
}
