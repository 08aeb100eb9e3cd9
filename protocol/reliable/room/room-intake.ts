import type { Publish } from "../../player-packets.ts";
import { publishBytes, SEND_WINDOW } from "../flow-control.ts";
import type { RoomConnection } from "./room-connections.ts";
import type { RoomLimits } from "./room-limits.ts";
import { logMessageBytes, type RoomStorage } from "./room-log.ts";

/** What of all members together may wait; above it each may have its share of that, where that is less than its window. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** So long a member's messages are gathered that its budget lets through one by one. */
const DRAIN_INTERVAL_MS = 20;

/** So soon it is tried again at the latest: the rates of a full log may be over by then. */
const MAX_DRAIN_INTERVAL_MS = 1_000;

/** What a member's message needs to be taken in. */
export interface IntakeContext {
  readonly limits: RoomLimits;
  readonly storage: RoomStorage;
  readonly memberCount: () => number;
  /** Takes a message in; false if the connection does not count any more. */
  readonly accept: (connection: RoomConnection, publish: Publish, nowMs: number) => boolean;
}

/**
 * Lets members' messages into the room as fast as their budgets allow. What is beyond waits here without an Ack, so that a
 * client's window slows it down; more than a window does not wait.
 */
export class RoomIntake {
  readonly #context: IntakeContext;
  /** The rates of a log that is too full, for so many members. */
  #fair: { readonly members: number; readonly rates: SenderRates } | undefined;

  constructor(context: IntakeContext) {
    this.#context = context;
  }

  /** Takes a member's next message in, now or later; false if it has sent more than may wait. */
  publish(connection: RoomConnection, publish: Publish, nowMs: number): boolean {
    const { held, budget } = connection;
    if (held.length === 0) {
      if (budget?.takeMessage(logMessageBytes(publish.body), this.#rates(), nowMs) ?? true) {
        this.#context.accept(connection, publish, nowMs);
        return true;
      }
      connection.drainAtMs = this.#drainAtMs(connection, nowMs);
      connection.changed = true;
    }
    if (!this.#mayHold(connection, publish)) return false;
    held.add(publish);
    return true;
  }

  /** Takes in what waits of a member, as much as its budget allows now. */
  drain(connection: RoomConnection, nowMs: number): void {
    const { held, budget } = connection;
    if (held.length === 0 || nowMs < connection.drainAtMs) return;
    for (let next = held.first; next !== undefined; next = held.first) {
      if (budget?.takeMessage(logMessageBytes(next.body), this.#rates(), nowMs) === false) break;
      held.removeFirst();
      if (!this.#context.accept(connection, next, nowMs)) return;
    }
    connection.drainAtMs = this.#drainAtMs(connection, nowMs);
    if (held.length === 0) connection.changed = true;
  }

  #drainAtMs({ budget }: RoomConnection, nowMs: number): number {
    const readyMs = budget?.messageAtMs(this.#rates(), nowMs) ?? nowMs;
    return Math.min(Math.max(readyMs, nowMs + DRAIN_INTERVAL_MS), nowMs + MAX_DRAIN_INTERVAL_MS);
  }

  #mayHold({ held }: RoomConnection, { body }: Publish): boolean {
    if (held.length >= SEND_WINDOW.windowMessages) return false;
    if (held.windowBytes + publishBytes(body) > SEND_WINDOW.windowBytes) return false;
    return held.totalBytes < MAX_HELD_BYTES || held.memoryBytes < MAX_HELD_BYTES / this.#context.memberCount();
  }

  /**
   * What a member may send. When held seats keep the log half full, all members together may fill a quarter of it in the time
   * for which it is kept, and each of them its share of that.
   */
  #rates(): SenderRates {
    const { storage, limits } = this.#context;
    const { sender, log } = limits;
    if (storage.bytes <= Math.max(log.maxBytes, log.maxNeededBytes / 2)) return sender;
    const members = Math.max(1, this.#context.memberCount());
    if (this.#fair?.members !== members) {
      // A burst and what comes after it are in the log together.
      const burst = log.maxNeededBytes / 8 / members;
      const perSecond = burst / (log.neededMs / 1000);
      const { bytes } = sender;
      const fairBytes = { burst: Math.min(bytes.burst, burst), perSecond: Math.min(bytes.perSecond, perSecond) };
      this.#fair = { members, rates: { ...sender, bytes: fairBytes } };
    }
    return this.#fair.rates;
  }
}

/** What one that waits costs beside its body, about. */
const OBJECT_BYTES = 256;

/** What the messages that wait cost, of all connections of a room together. */
export interface HeldTotal {
  bytes: number;
}

/** A member's messages that have come and are beyond its budget, in order. */
export class HeldPublishes {
  readonly #total: HeldTotal;
  #queue: Publish[] = [];
  #first = 0;
  #windowBytes = 0;
  #memoryBytes = 0;

  constructor(total: HeldTotal) {
    this.#total = total;
  }

  get length(): number {
    return this.#queue.length - this.#first;
  }

  /** Their bytes as a client's window counts them. */
  get windowBytes(): number {
    return this.#windowBytes;
  }

  /** What those of all connections cost here. */
  get totalBytes(): number {
    return this.#total.bytes;
  }

  /** What they cost here. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get first(): Publish | undefined {
    return this.#queue[this.#first];
  }

  /** Keeps a copy: what it came in may be large. */
  add(publish: Publish): void {
    this.#queue.push({ ...publish, body: publish.body.slice() });
    this.#count(publish, 1);
  }

  removeFirst(): void {
    const { first } = this;
    if (first === undefined) return;
    this.#count(first, -1);
    this.#first += 1;
    // Cutting off the front costs its length: it is done when that is at least half.
    if (this.#first * 2 < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#first);
    this.#first = 0;
  }

  clear(): void {
    this.#queue = [];
    this.#first = 0;
    this.#total.bytes -= this.#memoryBytes;
    this.#windowBytes = 0;
    this.#memoryBytes = 0;
  }

  #count({ body }: Publish, sign: 1 | -1): void {
    const memoryBytes = sign * (body.byteLength + OBJECT_BYTES);
    this.#windowBytes += sign * publishBytes(body);
    this.#memoryBytes += memoryBytes;
    this.#total.bytes += memoryBytes;
  }
}

/** What may be used up: `burst` at once, and `perSecond` from then on. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What one member may send (docs/rooms.md, "What a member may send"). */
export interface SenderRates {
  readonly messages: Rate;
  /** Bytes of messages, each as its entry in the log counts. */
  readonly bytes: Rate;
  readonly datagrams: Rate;
  /** Bytes of datagrams, each with its packet's header. */
  readonly datagramBytes: Rate;
  /** All of its packets, whatever becomes of them: each costs the room time. */
  readonly packets: Rate;
}

/** What a Join costs in packets: everybody hears of it, and it is answered with what was said before. */
const JOIN_PACKETS = 1_000;

/**
 * What a session may still send to a room. It is the session's, not its connection's: who comes back goes on with what was
 * left.
 */
export class SenderBudget {
  readonly #messages = new TokenBucket();
  readonly #bytes = new TokenBucket();
  readonly #datagrams = new TokenBucket();
  readonly #datagramBytes = new TokenBucket();
  readonly #packets = new TokenBucket();

  /** Whether a packet may be looked at; then it is paid for. */
  takePacket({ packets }: SenderRates, nowMs: number): boolean {
    if (this.#packets.refill(packets, nowMs) <= 0) return false;
    this.#packets.spend(1);
    return true;
  }

  /** The same for a Join. */
  takeJoin({ packets }: SenderRates, nowMs: number): boolean {
    if (this.#packets.refill(packets, nowMs) <= 0) return false;
    this.#packets.spend(JOIN_PACKETS);
    return true;
  }

  /** Whether a message may go now; then it is paid for. */
  takeMessage(bytes: number, rates: SenderRates, nowMs: number): boolean {
    const { messages, bytes: byteRate } = rates;
    if (this.#messages.refill(messages, nowMs) <= 0 || this.#bytes.refill(byteRate, nowMs) <= 0) return false;
    this.#messages.spend(1);
    this.#bytes.spend(bytes);
    return true;
  }

  /** The same for a datagram. */
  takeDatagram(bytes: number, { datagrams, datagramBytes }: SenderRates, nowMs: number): boolean {
    if (this.#datagrams.refill(datagrams, nowMs) <= 0 || this.#datagramBytes.refill(datagramBytes, nowMs) <= 0) {
      return false;
    }
    this.#datagrams.spend(1);
    this.#datagramBytes.spend(bytes);
    return true;
  }

  /** When the next message may go, in ms. */
  messageAtMs(rates: SenderRates, nowMs: number): number {
    return Math.max(this.#messages.readyMs(rates.messages, nowMs), this.#bytes.readyMs(rates.bytes, nowMs));
  }

  /** Whether nothing of it is used up, so that a new one is as good. */
  isFull({ messages, bytes, datagrams, datagramBytes, packets }: SenderRates, nowMs: number): boolean {
    return (
      this.#messages.refill(messages, nowMs) >= messages.burst &&
      this.#bytes.refill(bytes, nowMs) >= bytes.burst &&
      this.#datagrams.refill(datagrams, nowMs) >= datagrams.burst &&
      this.#datagramBytes.refill(datagramBytes, nowMs) >= datagramBytes.burst &&
      this.#packets.refill(packets, nowMs) >= packets.burst
    );
  }
}

/** The budgets of a room's sessions; of those that are gone, as long as they are not full again. */
export class SenderBudgets {
  readonly #rates: SenderRates;
  readonly #bySession = new Map<string, SenderBudget>();
  /** How many there may be before the full ones are looked for. */
  #sweepAbove = 64;

  constructor(rates: SenderRates) {
    this.#rates = rates;
  }

  of(session: string, nowMs: number): SenderBudget {
    const known = this.#bySession.get(session);
    if (known !== undefined) return known;
    if (this.#bySession.size >= this.#sweepAbove) this.#sweep(nowMs);
    const budget = new SenderBudget();
    this.#bySession.set(session, budget);
    return budget;
  }

  #sweep(nowMs: number): void {
    for (const [session, budget] of this.#bySession) {
      if (budget.isFull(this.#rates, nowMs)) this.#bySession.delete(session);
    }
    this.#sweepAbove = Math.max(64, this.#bySession.size * 2);
  }
}

/** May be overdrawn by the last thing that it paid for, so that what is larger than its burst can go at all. */
class TokenBucket {
  #spare = Number.POSITIVE_INFINITY;
  #atMs = 0;

  /** What there is now. */
  refill({ perSecond, burst }: Rate, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#spare = Math.min(burst, this.#spare + (elapsedMs * perSecond) / 1000);
    this.#atMs = nowMs;
    return this.#spare;
  }

  spend(cost: number): void {
    this.#spare -= cost;
  }

  /** When there is something again. */
  readyMs(rate: Rate, nowMs: number): number {
    const spare = this.refill(rate, nowMs);
    return spare > 0 ? nowMs : nowMs + Math.floor((-spare * 1000) / rate.perSecond) + 1;
  }
}
