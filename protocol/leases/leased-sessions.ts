import { ProtocolError } from "../packet-framing.ts";
import { decodeHubMessage, encodeLeaseMessage, type HubMessage, type StatusReport } from "./lease-messages.ts";
import {
  type LeasedSession,
  type LeasedSessionsLimits,
  MAX_LOOKUP_MS,
  RecentChanges,
  SessionMemory,
} from "./session-memory.ts";

/** What the driver must do with the connection to the hub. */
export interface LeasedSessionsOutput {
  /** Send this binary frame. */
  send(frame: Uint8Array<ArrayBuffer>): void;
  /** Close the connection, call {@link LeasedSessions.disconnected} and connect again later. `code`: RFC 6455 §7.4.1. */
  close(code: number, reason: string): void;
  /** The checks that this bridge has answered since its start, for a StatusReport. */
  answers(): Answers;
}

/** Checks, and those of them that were answered from memory. */
export type Answers = Pick<StatusReport, "answered" | "fromMemory">;

/** What an Ok response said about a session; `keepMs`: for how long it may be kept, counted from {@link LeasedSessions.begin}. */
export interface Verdict extends LeasedSession {
  readonly keepMs: number;
}

/** Lookups in the store that are sent together, for {@link LeasedSessions.put}. */
export interface Lookup {
  readonly begunMs: number;
  /** The changes up to this one came before the lookup began. */
  readonly change: number;
}

/** Clocks may differ from real time by 1 % each, the bridge's, the edge's and the store's (docs/architecture.md, "Leases"). */
const LEASE_MARGIN = 0.05;
const KEEP_MARGIN = 0.02;

/** A lease is renewed so many times in a bound: two renewals may be lost or late. */
const RENEWALS_PER_BOUND = 3;

/** A connection on which nothing was received for so long is closed: at the least, and in bounds. */
const MIN_SILENCE_MS = 10_000;
const SILENCE_BOUNDS = 5;

const CLOSE_PROTOCOL_ERROR = 1002;
const CLOSE_GOING_AWAY = 1001;

/**
 * The sessions that a bridge answers for from its memory, and the lease that it needs to do so (docs/architecture.md, "Leases").
 *
 * | state | lookups are kept | answers from memory | until |
 * | --- | --- | --- | --- |
 * | disconnected | no | no | `connected` |
 * | connected | no | no | the first Granted |
 * | joined: every change is pushed on this connection | yes | while a lease runs | `disconnected`, a protocol error, silence |
 *
 * `nowMs` is always a value of {@link timeAt}.
 */
export class LeasedSessions {
  readonly #limits: LeasedSessionsLimits;
  readonly #output: LeasedSessionsOutput;
  readonly #clock = new PairedClocks();
  readonly #sessions: SessionMemory;
  #changes = new RecentChanges();
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #connection: ConnectionState | undefined;
  #boundMs: number | undefined;

  constructor(limits: LeasedSessionsLimits, output: LeasedSessionsOutput) {
    this.#limits = limits;
    this.#output = output;
    this.#sessions = new SessionMemory(limits);
  }

  /**
   * The time, from the monotonic and the wall clock, both in ms and read together. It is never less than before. If the clocks
   * disagree so that it is not known how long it took, everything is forgotten and the lease is over.
   */
  timeAt(monotonicMs: number, wallMs: number): number {
    const isSure = this.#clock.read(monotonicMs, wallMs);
    if (!isSure) {
      this.#forgetAll();
      this.#connection?.renewals.clear();
      this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    }
    return this.#clock.nowMs;
  }

  /** REVOCATION_BOUND_MS of the edge, as the last connection was told; undefined before the first. */
  get boundMs(): number | undefined {
    return this.#boundMs;
  }

  /** How many sessions are kept. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Whether sessions are answered for from memory now. */
  holdsLease(nowMs: number): boolean {
    return nowMs < this.#leaseUntilMs;
  }

  /** The session, if it may be answered for from memory now. */
  get(sessid: number, nowMs: number): LeasedSession | undefined {
    return nowMs < this.#leaseUntilMs ? this.#sessions.get(sessid, nowMs) : undefined;
  }

  /** Call it before lookups are sent to the store; undefined: nothing that they return will be kept. */
  begin(nowMs: number): Lookup | undefined {
    if (this.#connection?.isJoined !== true) return undefined;
    return { begunMs: nowMs, change: this.#changes.last };
  }

  /**
   * Keeps a session for which the store's primary said Ok, unless anything about it came since the lookup began. What is null in
   * the verdict stays as it is kept, unless the verdict shows that the session has changed.
   */
  put(lookup: Lookup, verdict: Verdict, nowMs: number): void {
    if (this.#connection?.isJoined !== true || nowMs - lookup.begunMs > MAX_LOOKUP_MS) return;
    if (this.#changes.isChangedSince(verdict.sessid, lookup.change)) return;
    const keepMs = Math.min(verdict.keepMs, this.#limits.maxKeepMs) * (1 - KEEP_MARGIN) - this.#clock.toleranceMs;
    if (keepMs > 0) this.#sessions.put(verdict, lookup.begunMs, keepMs, nowMs);
  }

  /** Forgets a session, and what lookups that have begun will say about it. */
  invalidate(sessid: number, nowMs: number): void {
    this.#sessions.delete(sessid);
    this.#changes.add(sessid, nowMs);
  }

  /** Forgets every session, and what lookups that have begun will say. */
  invalidateAll(): void {
    this.#forgetAll();
  }

  /** The kept sessions that were asked for, and that must be looked up again now to be kept for longer; each is named once. */
  takeDue(nowMs: number): number[] {
    const due = this.#sessions.takeDue(nowMs);
    return this.holdsLease(nowMs) ? due : [];
  }

  /** The connection to the hub is open. */
  connected(nowMs: number): void {
    this.disconnected();
    this.#connection = new ConnectionState(nowMs);
  }

  /** The connection to the hub has ended or is given up; nothing of it may be passed on afterwards. */
  disconnected(): void {
    this.#connection = undefined;
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    this.#forgetAll();
  }

  /** A frame has come from the hub; a string is a text frame, which no hub may send. */
  received(frame: Uint8Array | string, nowMs: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.heardMs = nowMs;
    try {
      if (typeof frame === "string") throw new ProtocolError("unknown_type", "a text frame");
      this.#handle(connection, decodeHubMessage(frame), nowMs);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.disconnected();
      this.#output.close(CLOSE_PROTOCOL_ERROR, error.message);
    }
  }

  /** When {@link tick} must be called next; undefined while there is no connection. */
  get deadlineMs(): number | undefined {
    const connection = this.#connection;
    return connection && Math.min(connection.renewAtMs, connection.heardMs + silenceMs(connection.boundMs));
  }

  /** Does what is due: renews the lease, or gives up a silent connection. */
  tick(nowMs: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    if (nowMs >= connection.heardMs + silenceMs(connection.boundMs)) {
      this.disconnected();
      this.#output.close(CLOSE_GOING_AWAY, "the hub is silent");
    } else if (nowMs >= connection.renewAtMs) this.#renew(connection, nowMs);
  }

  #handle(connection: ConnectionState, message: HubMessage, nowMs: number): void {
    if ((message.kind === "welcome") !== (connection.boundMs === 0)) {
      throw new ProtocolError("unexpected_packet", `a ${message.kind} out of place`);
    }
    switch (message.kind) {
      case "welcome":
        connection.boundMs = message.boundMs;
        this.#boundMs = message.boundMs;
        this.#clock.toleranceMs = Math.min(MAX_CLOCK_TOLERANCE_MS, message.boundMs * CLOCK_TOLERANCE);
        this.#renew(connection, nowMs);
        break;
      case "granted":
        this.#granted(connection, message.renewal);
        break;
      case "changes":
      case "reset":
        connection.expect(message.number);
        if (message.kind === "reset") this.#forgetAll();
        else for (const sessid of message.sessids) this.invalidate(sessid, nowMs);
        this.#output.send(encodeLeaseMessage({ kind: "ack", number: message.number }));
        break;
      case "statusRequest":
        this.#output.send(encodeLeaseMessage({ kind: "status", kept: this.size, ...this.#output.answers() }));
        break;
    }
  }

  #renew(connection: ConnectionState, nowMs: number): void {
    connection.renewAtMs = nowMs + connection.boundMs / RENEWALS_PER_BOUND;
    this.#output.send(encodeLeaseMessage({ kind: "renew", renewal: connection.sent(nowMs) }));
  }

  #granted(connection: ConnectionState, renewal: number): void {
    const sentMs = connection.renewals.get(renewal);
    // Its lease would be over: its time is forgotten after a bound, or because the clocks disagreed.
    if (sentMs === undefined) return;
    connection.renewals.delete(renewal);
    if (!connection.isJoined) {
      // Lookups that began earlier are not kept: of a change since then, this connection need not be told.
      this.#forgetAll();
      connection.isJoined = true;
    }
    this.#leaseUntilMs = Math.max(this.#leaseUntilMs, sentMs + connection.boundMs * (1 - LEASE_MARGIN));
  }

  #forgetAll(): void {
    this.#sessions.clear();
    this.#changes.addAll();
  }
}

function silenceMs(boundMs: number): number {
  return Math.max(MIN_SILENCE_MS, SILENCE_BOUNDS * boundMs);
}

/** The bridge's side of one connection to the hub. */
class ConnectionState {
  /** 0 before the Welcome. */
  boundMs = 0;
  /** Whether a lease was granted on it: from then on the hub pushes every change. */
  isJoined = false;
  heardMs: number;
  renewAtMs = Number.POSITIVE_INFINITY;
  /** When each renewal was sent that may still be granted, by its number; the oldest first. */
  readonly renewals = new Map<number, number>();
  #lastRenewal = 0;
  #lastChanges = 0;

  constructor(nowMs: number) {
    this.heardMs = nowMs;
  }

  /** Numbers a renewal that is sent now. */
  sent(nowMs: number): number {
    for (const [number, sentMs] of this.renewals) if (nowMs - sentMs > this.boundMs) this.renewals.delete(number);
    this.#lastRenewal = (this.#lastRenewal + 1) >>> 0;
    this.renewals.set(this.#lastRenewal, nowMs);
    return this.#lastRenewal;
  }

  /** Takes the number of a Changes or a Reset: one that is missing would be a change that was never told. */
  expect(number: number): void {
    const expected = (this.#lastChanges + 1) >>> 0;
    if (number !== expected) throw new ProtocolError("out_of_range", `number: ${number}, expected is ${expected}`);
    this.#lastChanges = number;
  }
}

/** By how much the wall clock may fall behind the monotonic one before both are in doubt: of the bound, and at most. */
const CLOCK_TOLERANCE = 0.02;
const MAX_CLOCK_TOLERANCE_MS = 20;

/**
 * The time that has passed, as the one of two clocks says that advanced more: a suspended machine stops the monotonic clock, and
 * the wall clock can be set.
 */
class PairedClocks {
  nowMs = Number.NEGATIVE_INFINITY;
  toleranceMs = MAX_CLOCK_TOLERANCE_MS;
  /** By how much the wall clock is ahead of the monotonic one, at the most since they last disagreed. */
  #aheadMs = Number.NaN;
  /** What the monotonic clock lacks of `nowMs`. */
  #lackMs = 0;

  /**
   * Sets `nowMs`. Returns false if the wall clock was set back: a suspension may hide behind that, so it is not known how much
   * time has passed.
   */
  read(monotonicMs: number, wallMs: number): boolean {
    const aheadMs = wallMs - monotonicMs;
    let isSure = true;
    if (aheadMs > this.#aheadMs) {
      this.#lackMs += aheadMs - this.#aheadMs;
      this.#aheadMs = aheadMs;
    } else if (!(aheadMs >= this.#aheadMs - this.toleranceMs)) {
      // The first reading comes here too.
      isSure = Number.isNaN(this.#aheadMs);
      this.#aheadMs = aheadMs;
    }
    this.nowMs = Math.max(this.nowMs, monotonicMs + this.#lackMs);
    return isSure;
  }
}
