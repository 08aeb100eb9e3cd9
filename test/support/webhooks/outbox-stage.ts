import type { LogPage } from "../../../worker/session-store/session-log.ts";
import type { WebhookMessage } from "../../../worker/webhooks/webhook-message.ts";
import {
  type HeldMessage,
  type OutboxState,
  type OutboxStorage,
  WebhookOutbox,
  type WebhookOutcome,
} from "../../../worker/webhooks/webhook-outbox.ts";
import { VirtualClock } from "../simulator/virtual-clock.ts";

/** How the receiver treats a request: the outcome that the sender has, after so long. */
export interface Treatment {
  readonly outcome: WebhookOutcome;
  readonly tookMs: number;
  /** Whether the receiver has processed the message; by default if it is delivered. */
  readonly isProcessed?: boolean;
}

/** A request that the receiver got. */
export interface ReceivedRequest {
  readonly id: string;
  readonly sessid: number | null;
  readonly atMs: number;
  readonly body: string;
  readonly isProcessed: boolean;
}

export const DELIVERED: WebhookOutcome = { kind: "delivered" };
export const GONE: WebhookOutcome = { kind: "gone" };

export function failed(error = "500", retryAfterMs: number | null = null): WebhookOutcome {
  return { kind: "failed", error, retryAfterMs };
}

/** Keeps what an outbox stores, in memory. */
export class MemoryOutboxStorage implements OutboxStorage {
  state: OutboxState | undefined;
  readonly held = new Map<string, HeldMessage>();

  get cursor(): string | null {
    return this.state?.cursor ?? null;
  }

  load(): OutboxState | undefined {
    return this.state;
  }

  save(state: OutboxState): void {
    this.state = state;
  }

  loadHeld(): readonly HeldMessage[] {
    return [...this.held.values()];
  }

  hold(message: HeldMessage): void {
    this.held.set(message.id, message);
  }

  release(id: string): void {
    this.held.delete(id);
  }
}

export interface OutboxStageOptions {
  readonly storage?: MemoryOutboxStorage;
  readonly random?: () => number;
  readonly startMs?: number;
}

/** An outbox with a virtual clock, a log and a receiver of ours. */
export class OutboxStage {
  readonly clock: VirtualClock;
  readonly storage: MemoryOutboxStorage;
  readonly requests: ReceivedRequest[] = [];
  readonly warnings: string[] = [];
  /** The numbers of the ends that the outbox has given up. */
  readonly givenUp: number[] = [];
  /** When the log was read. */
  readonly reads: number[] = [];
  /** Ids of the requests that have no outcome yet, by what the outbox was told. */
  readonly underWay = new Map<string, number | null>();
  mostUnderWay = 0;
  /** Of the session that each end in the log is about. An end's number is its index and 1. */
  readonly log: number[] = [];
  /** How many of the log's first ends are gone. */
  trimmed = 0;
  isStoreDown = false;
  readMs = 1;
  /** By how much the wall clock is ahead of the timers. */
  skewMs = 0;
  /** Whether writes poke. */
  pokes = true;
  treat: (message: WebhookMessage, nowMs: number) => Treatment = () => ({ outcome: DELIVERED, tookMs: 10 });
  readonly #random: () => number;
  #outbox: WebhookOutbox | undefined;
  /** Counts restarts: what an earlier outbox waits for is lost. */
  #life = 0;
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(
    { storage = new MemoryOutboxStorage(), random = () => 0, startMs = 1_800_000_000_000 } = {} as OutboxStageOptions,
  ) {
    this.clock = new VirtualClock(startMs);
    this.storage = storage;
    this.#random = random;
  }

  get nowMs(): number {
    return this.clock.nowMs + this.skewMs;
  }

  /** The outbox; undefined while its object is not started. */
  get outbox(): WebhookOutbox | undefined {
    return this.#outbox;
  }

  /** Starts the object, or starts it again. What was under way is lost; the alarm is kept. */
  start({ isRenewed = false } = {}): void {
    this.stop();
    const life = this.#life;
    const ifAlive = (action: (outbox: WebhookOutbox) => void) => () => {
      if (life === this.#life && this.#outbox !== undefined) this.#tell(action);
    };
    this.#outbox = new WebhookOutbox(
      this.storage,
      {
        read: (after) => {
          this.reads.push(this.nowMs);
          const page = this.#read(after);
          this.clock.in(
            this.readMs,
            ifAlive((outbox) => outbox.readDone(page, this.nowMs)),
          );
        },
        send: (message) => {
          const { id, sessid, body } = message;
          const { outcome, tookMs, isProcessed = outcome.kind === "delivered" } = this.treat(message, this.nowMs);
          this.requests.push({ id, sessid, atMs: this.nowMs, body, isProcessed });
          if (this.underWay.has(id)) throw new Error("a message is sent while it is under way");
          this.underWay.set(id, sessid);
          this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay.size);
          this.clock.in(
            tookMs,
            ifAlive((outbox) => {
              this.underWay.delete(id);
              outbox.sendDone(id, outcome, this.nowMs);
              if (outcome.kind === "failed" && !this.storage.held.has(id)) this.givenUp.push(numberOf(id));
            }),
          );
        },
        warn: (text) => this.warnings.push(text),
      },
      this.#random,
    );
    if (isRenewed) this.#outbox.renew();
    this.#tell((outbox) => outbox.poked(this.nowMs));
  }

  stop(): void {
    this.#life += 1;
    this.#outbox = undefined;
    this.underWay.clear();
  }

  /** Ends of these sessions, one after the other. */
  end(...sessids: readonly number[]): void {
    this.log.push(...sessids);
    if (this.pokes && this.#outbox !== undefined) this.#tell((outbox) => outbox.poked(this.nowMs));
  }

  run(ms: number): void {
    this.clock.run(this.clock.nowMs + ms);
  }

  /** The numbers of the ends that the receiver has processed, each at its first time. */
  get processed(): number[] {
    const ids = this.requests.filter(({ isProcessed }) => isProcessed).map(({ id }) => id);
    return [...new Set(ids)].map(numberOf);
  }

  /** When a request with the end of this number came, ms after `sinceMs`. */
  triesOf(number: number, sinceMs = 0): number[] {
    return this.requests.filter(({ id }) => numberOf(id) === number).map(({ atMs }) => atMs - sinceMs);
  }

  #tell(action: (outbox: WebhookOutbox) => void): void {
    if (this.#outbox === undefined) return;
    action(this.#outbox);
    const wakeAt = this.#outbox.wakeAt(this.nowMs);
    if (wakeAt === null) this.#alarmAt = Number.POSITIVE_INFINITY;
    else if (wakeAt < this.#alarmAt) this.#setAlarm(wakeAt);
  }

  /** The alarm starts the object if it is not running, as it does a Durable Object. */
  #setAlarm(wakeAt: number): void {
    this.#alarmAt = wakeAt;
    this.clock.at(wakeAt - this.skewMs, () => {
      if (this.#alarmAt !== wakeAt) return;
      this.#alarmAt = Number.POSITIVE_INFINITY;
      if (this.#outbox === undefined) this.start();
      else this.#tell((outbox) => outbox.tick(this.nowMs));
    });
  }

  #read(after: string | null): LogPage {
    if (this.isStoreDown) return { kind: "unavailable" };
    const end = positionOf(this.log.length);
    if (after === null) return { kind: "events", events: [], position: end, more: false };
    const from = numberOf(after);
    if (from < this.trimmed) return { kind: "reset", position: end };
    const numbers = this.log.slice(from, from + 1000).map((_, index) => from + index + 1);
    const events = numbers.map((number) => ({
      position: positionOf(number),
      at: this.nowMs,
      kind: "ended" as const,
      reason: "deleted" as const,
      sessid: this.log[number - 1] ?? 0,
      user: null,
    }));
    const position = positionOf(from + numbers.length);
    return { kind: "events", events, position, more: position !== end };
  }
}

export function positionOf(number: number): string {
  return `${number}_1_x`;
}

export function numberOf(position: string): number {
  return Number.parseInt(position, 10);
}
