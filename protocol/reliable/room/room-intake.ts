import type { Publish } from "../../player-packets.ts";
import { publishBytes, SEND_WINDOW } from "../flow-control.ts";
import type { Rate, RoomLimits, SenderRates } from "./room-limits.ts";
import { type LogStorage, logMessageBytes } from "./room-log.ts";

/**
 * How many bytes of all members together may wait. Above it, messages of a member may wait only while they take less than the
 * member's equal share of it.
 */
const MAX_HELD_BYTES = 32 * 1024 * 1024;

/** The room accepts waiting messages of a member at most this often, so that they share a transaction. */
const DRAIN_INTERVAL_MS = 20;

/** The room tries again after this time at the latest, because the lower rates of a full log may have ended. */
const MAX_DRAIN_INTERVAL_MS = 1_000;

/** What the intake needs to know of a connection. */
export interface IntakeConnection {
  readonly held: HeldPublishes;
  readonly budget: SenderBudget | undefined;
  drainAtMs: number;
  changed: boolean;
}

export interface IntakeContext<Connection> {
  readonly limits: RoomLimits;
  readonly log: LogStorage;
  readonly memberCount: () => number;
  /** Accepts a message; false if the connection has ended. */
  readonly accept: (connection: Connection, publish: Publish, nowMs: number) => boolean;
}

/**
 * Accepts members' messages as fast as their budgets allow. Messages beyond the budget wait here without an Ack, so that
 * the client's window slows the client down. At most one window of messages may wait.
 */
export class RoomIntake<Connection extends IntakeConnection> {
  readonly #context: IntakeContext<Connection>;
  /** The rates while the log is more than half full, calculated for this number of members. */
  #fair: { readonly members: number; readonly rates: SenderRates } | undefined;

  constructor(context: IntakeContext<Connection>) {
    this.#context = context;
  }

  /** Accepts the next message of a member, now or later; false if the member has sent more than may wait. */
  publish(connection: Connection, publish: Publish, nowMs: number): boolean {
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

  /** Accepts waiting messages of a member, as many as its budget allows now. */
  drain(connection: Connection, nowMs: number): void {
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

  #drainAtMs({ budget }: Connection, nowMs: number): number {
    const readyMs = budget?.messageAtMs(this.#rates(), nowMs) ?? nowMs;
    return Math.min(Math.max(readyMs, nowMs + DRAIN_INTERVAL_MS), nowMs + MAX_DRAIN_INTERVAL_MS);
  }

  #mayHold({ held }: Connection, { body }: Publish): boolean {
    if (held.length >= SEND_WINDOW.windowMessages) return false;
    if (held.windowBytes + publishBytes(body) > SEND_WINDOW.windowBytes) return false;
    return held.totalBytes < MAX_HELD_BYTES || held.memoryBytes < MAX_HELD_BYTES / this.#context.memberCount();
  }

  /**
   * The rates of each member. While held seats keep the log more than half full, all members together may fill a quarter of
   * it in the time for which entries are kept, and each member gets an equal share.
   */
  #rates(): SenderRates {
    const { log, limits } = this.#context;
    const { sender } = limits;
    const { maxBytes, maxNeededBytes, neededMs } = limits.log;
    if (log.bytes <= Math.max(maxBytes, maxNeededBytes / 2)) return sender;
    const members = Math.max(1, this.#context.memberCount());
    if (this.#fair?.members !== members) {
      // A member may send a burst, and at this rate after it: each of the two may fill an eighth of the log.
      const burst = maxNeededBytes / 8 / members;
      const perSecond = burst / (neededMs / 1000);
      const { bytes } = sender;
      const fairBytes = { burst: Math.min(bytes.burst, burst), perSecond: Math.min(bytes.perSecond, perSecond) };
      this.#fair = { members, rates: { ...sender, bytes: fairBytes } };
    }
    return this.#fair.rates;
  }
}

/** The approximate memory of a waiting message in addition to its body. */
const OBJECT_BYTES = 256;

/** The memory of the messages that wait, of all connections of a room together. */
export interface HeldTotal {
  bytes: number;
}

/** The messages of a connection that are beyond its budget, in order. */
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

  /** Memory of the waiting messages of all connections. */
  get totalBytes(): number {
    return this.#total.bytes;
  }

  /** Memory of these messages. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get first(): Publish | undefined {
    return this.#queue[this.#first];
  }

  /** Adds a copy: the buffer that the message arrived in may be large. */
  add(publish: Publish): void {
    this.#queue.push({ ...publish, body: publish.body.slice() });
    this.#count(publish, 1);
  }

  removeFirst(): void {
    const { first } = this;
    if (first === undefined) return;
    this.#count(first, -1);
    this.#first += 1;
    // Removing the front copies the rest, so wait until the front is at least half.
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

/** A Join costs as much as this many packets: the room announces it to all members, and the response includes the history. */
const JOIN_PACKETS = 1_000;

/** What a session may still send to a room. It outlives the connection: a player who resumes has what was left. */
export class SenderBudget {
  readonly #messages = new TokenBucket();
  readonly #bytes = new TokenBucket();
  readonly #datagrams = new TokenBucket();
  readonly #datagramBytes = new TokenBucket();
  readonly #packets = new TokenBucket();

  /** Whether a packet may be processed; if so, the budget pays for it. */
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

  /** Whether a message may be accepted now; if so, the budget pays for it. */
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

  /** When the next message may be accepted, in ms. */
  messageAtMs(rates: SenderRates, nowMs: number): number {
    return Math.max(this.#messages.readyMs(rates.messages, nowMs), this.#bytes.readyMs(rates.bytes, nowMs));
  }

  /** Whether it is full, so that a new budget is equal to it. */
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

/** The budgets of a room's sessions. Those of sessions that left are kept until they are full again. */
export class SenderBudgets {
  readonly #rates: SenderRates;
  readonly #bySession = new Map<string, SenderBudget>();
  /** Above this number of budgets the full ones are removed. */
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

/** The last payment may overdraw it, so that a message larger than the burst can be accepted at all. */
class TokenBucket {
  #spare = Number.POSITIVE_INFINITY;
  #atMs = 0;

  /** Refills it, and returns what there is now. */
  refill({ perSecond, burst }: Rate, nowMs: number): number {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#spare = Math.min(burst, this.#spare + (elapsedMs * perSecond) / 1000);
    this.#atMs = nowMs;
    return this.#spare;
  }

  spend(cost: number): void {
    this.#spare -= cost;
  }

  /** When there will be something again. */
  readyMs(rate: Rate, nowMs: number): number {
    const spare = this.refill(rate, nowMs);
    return spare > 0 ? nowMs : nowMs + Math.floor((-spare * 1000) / rate.perSecond) + 1;
  }
}
