import { ProtocolError } from "../packet-framing.ts";
import { decodeHubMessage, encodeLeaseMessage, type HubMessage } from "./lease-messages.ts";

/** What the driver must do with the connection to the hub. */
export interface LeasedSessionsOutput {
  /** Send this binary frame. */
  send(frame: Uint8Array<ArrayBuffer>): void;
  /** Close the connection, call {@link LeasedSessions.disconnected} and connect again later. `code`: RFC 6455 §7.4.1. */
  close(code: number, reason: string): void;
}

export interface LeasedSessionsLimits {
  /** BRIDGE_CACHE_SESSIONS: above it the session that was kept first is forgotten. */
  readonly maxSessions: number;
  /** The same for the memory that the kept sessions need, about. */
  readonly maxBytes: number;
  /** BRIDGE_CACHE_MS: no session is kept for longer, whatever the edge says. At most {@link MAX_KEEP_MS}. */
  readonly maxKeepMs: number;
}

/** A session that the primary said is valid. A field is null until a response had it. */
export interface LeasedSession {
  readonly sessid: number;
  readonly user: string | null;
  /** The secret of its token, as a client has shown it and the store has accepted it. */
  readonly secret: Uint8Array | null;
  readonly grants: readonly string[] | null;
}

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

/** The longest time for which a session may be kept. */
export const MAX_KEEP_MS = 60_000;

/** No lookup takes longer: what arrives later is not kept. Above the deadlines of batches and of the store together. */
const MAX_LOOKUP_MS = 10_000;

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
  readonly #clock = new LeaseClock();
  readonly #sessions: SessionMemory;
  #changes = new RecentChanges();
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #connection: HubConnection | undefined;
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
   * the verdict stays as it is kept.
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
    this.#connection = new HubConnection(nowMs);
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

  #handle(connection: HubConnection, message: HubMessage, nowMs: number): void {
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
    }
  }

  #renew(connection: HubConnection, nowMs: number): void {
    connection.renewAtMs = nowMs + connection.boundMs / RENEWALS_PER_BOUND;
    this.#output.send(encodeLeaseMessage({ kind: "renew", renewal: connection.sent(nowMs) }));
  }

  #granted(connection: HubConnection, renewal: number): void {
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
class HubConnection {
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
class LeaseClock {
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

/** The changes of the last {@link MAX_LOOKUP_MS}, by their sequence numbers. */
class RecentChanges {
  /** The sequence number of the newest change. */
  last = 0;
  /** This change was about every session. */
  #all = 0;
  /** The newest change of each session; what is in neither map is older than every lookup that counts. */
  #newer = new Map<number, number>();
  #older = new Map<number, number>();
  #turnedMs = Number.NEGATIVE_INFINITY;

  add(sessid: number, nowMs: number): void {
    if (nowMs - this.#turnedMs >= MAX_LOOKUP_MS) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#turnedMs = nowMs;
    } else if (this.#newer.size >= MAX_RECENT_CHANGES) this.addAll();
    this.last += 1;
    this.#newer.set(sessid, this.last);
  }

  addAll(): void {
    this.last += 1;
    this.#all = this.last;
    this.#newer.clear();
    this.#older.clear();
  }

  isChangedSince(sessid: number, change: number): boolean {
    return this.#all > change || (this.#newer.get(sessid) ?? this.#older.get(sessid) ?? 0) > change;
  }
}

/** Bounds {@link RecentChanges}, about 100 bytes each: above it, all lookups that have begun are not kept. */
const MAX_RECENT_CHANGES = 50_000;

/** What an entry, and each of its texts, needs beside the characters, about. */
const ENTRY_BYTES = 256;
const TEXT_BYTES = 24;

/** Entries whose time has come are found in steps of this length. */
const STEP_MS = 250;

/** A kept session. */
interface Entry extends LeasedSession {
  readonly keepUntilMs: number;
  /** When it is to be looked up again, if it is in use. */
  readonly dueMs: number;
  readonly bytes: number;
  isUsed: boolean;
  /** Whether `dueMs` was noticed. */
  isDue: boolean;
  /** Where it is in the ring. */
  step: number;
}

/** The kept sessions: by sessid, the one that was kept first in front; and by the time when something becomes of them. */
class SessionMemory {
  readonly #limits: LeasedSessionsLimits;
  readonly #entries = new Map<number, Entry>();
  /** A ring: the entries of step n are in `n % length`. It is longer than any keep. */
  readonly #ring: readonly Set<Entry>[];
  /** Due entries that were used afterwards. */
  #late: number[] = [];
  #takenStep = -1;
  #bytes = 0;

  constructor(limits: LeasedSessionsLimits) {
    this.#limits = limits;
    this.#ring = Array.from({ length: MAX_KEEP_MS / STEP_MS + 2 }, () => new Set<Entry>());
  }

  get size(): number {
    return this.#entries.size;
  }

  get(sessid: number, nowMs: number): LeasedSession | undefined {
    const entry = this.#entries.get(sessid);
    if (entry === undefined || nowMs >= entry.keepUntilMs) return undefined;
    if (!entry.isUsed) {
      entry.isUsed = true;
      if (entry.isDue) this.#late.push(sessid);
    }
    return entry;
  }

  put(session: LeasedSession, begunMs: number, keepMs: number, nowMs: number): void {
    const { sessid } = session;
    const kept = this.#entries.get(sessid);
    // After the end of its keep the number may be another session's, of which the change is still on its way.
    const old = kept !== undefined && nowMs < kept.keepUntilMs ? kept : undefined;
    this.delete(sessid);
    const user = session.user ?? old?.user ?? null;
    const secret = session.secret ?? old?.secret ?? null;
    const grants = session.grants ?? old?.grants ?? null;
    const keepUntilMs = begunMs + keepMs;
    const dueMs = keepUntilMs - keepMs * leadOf(sessid);
    const bytes = bytesOf(user, secret, grants);
    const entry = { sessid, user, secret, grants, keepUntilMs, dueMs, bytes, isUsed: false, isDue: false, step: 0 };
    this.#entries.set(sessid, entry);
    this.#bytes += bytes;
    this.#schedule(entry, dueMs, nowMs);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#limits.maxSessions && this.#bytes <= this.#limits.maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(sessid: number): void {
    const entry = this.#entries.get(sessid);
    if (entry === undefined) return;
    this.#entries.delete(sessid);
    this.#bytes -= entry.bytes;
    this.#stepSet(entry.step).delete(entry);
  }

  clear(): void {
    this.#entries.clear();
    for (const set of this.#ring) set.clear();
    this.#late = [];
    this.#bytes = 0;
  }

  /** The sessions to look up again. It also removes those that may not be kept any longer. */
  takeDue(nowMs: number): number[] {
    const due = this.#late.filter((sessid) => this.#entries.has(sessid));
    this.#late = [];
    const current = stepOf(nowMs);
    // After a long pause one turn of the ring has every entry.
    for (let step = Math.max(this.#takenStep + 1, current - this.#ring.length + 1); step <= current; step++) {
      for (const entry of [...this.#stepSet(step)]) {
        if (entry.step > current) continue;
        this.#stepSet(step).delete(entry);
        if (nowMs >= entry.keepUntilMs) this.delete(entry.sessid);
        else {
          if (entry.isUsed && !entry.isDue) due.push(entry.sessid);
          entry.isDue = true;
          this.#schedule(entry, entry.keepUntilMs, nowMs);
        }
      }
    }
    this.#takenStep = current;
    return due;
  }

  /** Not in the current step, which may have been taken. */
  #schedule(entry: Entry, atMs: number, nowMs: number): void {
    entry.step = Math.max(stepOf(atMs), stepOf(nowMs) + 1);
    this.#stepSet(entry.step).add(entry);
  }

  #stepSet(step: number): Set<Entry> {
    const set = this.#ring[step % this.#ring.length];
    if (set === undefined) throw new Error(`step ${step} is no natural number`);
    return set;
  }
}

function stepOf(atMs: number): number {
  return Math.floor(atMs / STEP_MS);
}

/**
 * How much of its keep is left when a session is looked up again: a quarter to a half, differently for each, so that sessions
 * that were kept together are not looked up together.
 */
function leadOf(sessid: number): number {
  // Knuth's multiplicative hash (The Art of Computer Programming, volume 3, 6.4): 2^32 divided by the golden ratio.
  return 1 / 4 + (Math.imul(sessid, 0x9e3779b1) >>> 24) / 1024;
}

function bytesOf(user: string | null, secret: Uint8Array | null, grants: readonly string[] | null): number {
  const texts = [...(user === null ? [] : [user]), ...(grants ?? [])];
  const characters = texts.reduce((sum, { length }) => sum + length, 0);
  return ENTRY_BYTES + TEXT_BYTES * texts.length + 2 * characters + (secret?.byteLength ?? 0);
}
