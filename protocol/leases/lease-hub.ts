import { ProtocolError } from "../packet-framing.ts";
import { BridgeState, type Reach, type Waiter, WaiterGroup } from "./bridge-acks.ts";
import {
  type BridgeMessage,
  decodeBridgeMessage,
  encodeLeaseMessage,
  MAX_CHANGED_SESSIDS,
  renumbered,
  type StatusReport,
} from "./lease-messages.ts";

/** What the driver of a hub must do. `Bridge` is what the driver knows a connection by, such as its socket. */
export interface HubOutput<Bridge> {
  /** Send this binary frame. */
  send(bridge: Bridge, frame: Uint8Array<ArrayBuffer>): void;
  /** Close the connection; the hub has already forgotten it. `code` is a WebSocket close code (RFC 6455 §7.4.1). */
  close(bridge: Bridge, code: number, reason: string): void;
  /**
   * Begin to read the log, and call {@link LeaseHub.readDone} once when it is done, not before this call has returned. There is
   * one read at a time.
   */
  read(read: HubRead): void;
}

export interface HubRead {
  /** The position to read after; null: from now on. */
  readonly after: string | null;
  /** How long leases may run that are granted after this read, for the store to know; null: none will be granted. */
  readonly leaseMs: number | null;
}

/** What a read returned: a page of the session store's log. */
export type HubPage =
  | { readonly kind: "events"; readonly events: readonly HubEvent[]; readonly position: string; readonly more: boolean }
  /** The entries after the position are not known any more. */
  | { readonly kind: "reset"; readonly position: string }
  | { readonly kind: "unavailable" };

export interface HubEvent {
  readonly kind: "began" | "changed" | "ended";
  readonly sessid: number;
}

export interface HubLimits {
  /** The most ends and changes that are pushed one by one after a read. Above it the bridges forget everything. */
  readonly maxChanges: number;
  /** Messages and bytes that a bridge has not acked. Above it its connection is closed. */
  readonly maxUnackedMessages: number;
  readonly maxUnackedBytes: number;
  /** Renewals of a bridge between the beginnings of two reads. Above it its connection is closed. */
  readonly maxRenewals: number;
  /** Calls of {@link LeaseHub.acknowledged} that wait at once. */
  readonly maxWaiters: number;
}

export const DEFAULT_HUB_LIMITS: HubLimits = {
  maxChanges: 10_000,
  maxUnackedMessages: 1024,
  maxUnackedBytes: 64 * 1024,
  // What arrives at once after a connection was held up for 10 s, then it is closed: 15 each second with a bound of 200 ms.
  maxRenewals: 256,
  maxWaiters: 10_000,
};

/** The log is read for renewals at most this often, with a bound of a second or more. */
const MAX_READ_INTERVAL_MS = 250;

/** After so many grants without a message to ack, the hub sends one: it must know that the bridge reads. */
const GRANTS_UNTIL_PROBE = 256;

/** WebSocket close codes (RFC 6455 §7.4.1; 1013: https://www.iana.org/assignments/websocket). */
const CLOSE_PROTOCOL_ERROR = 1002;
const CLOSE_UNSUPPORTED_DATA = 1003;
const CLOSE_POLICY_VIOLATION = 1008;
const CLOSE_TRY_AGAIN_LATER = 1013;

/**
 * The hub between the session log and the bridges (docs/architecture.md, "Leases"). It grants leases, pushes every end and change
 * of a session to every bridge, and knows which of them have been acked.
 *
 * | input | what the hub does |
 * | --- | --- |
 * | a bridge connects | Welcome |
 * | Renew | it waits; a read begins if none runs and the last began long enough ago, otherwise with the next Renew |
 * | acknowledged | it waits; a read begins if none runs |
 * | a read is done | Changes or a Reset to all bridges, then Granted to the renewals that came before it began; waiters wait for acks |
 * | Ack | waiters whose bridges have all acked are done |
 * | requestStatus | a StatusRequest to each bridge that reports and has answered the last one |
 * | StatusReport | it is kept for `statusOf` |
 * | a bridge disconnects | its lease counts until it has run out |
 * | the time of `deadlineMs` | waiters whose other bridges' leases have run out are done |
 *
 * A lease counts as running for `boundMs` from the beginning of the read after which it was granted: the bridge sent its renewal
 * before that. Times are of one clock that advances at most 1 % faster than real time. A clock that is late, or was set back, only
 * makes waiters wait longer.
 */
export class LeaseHub<Bridge> {
  readonly #boundMs: number;
  readonly #readIntervalMs: number;
  readonly #output: HubOutput<Bridge>;
  readonly #limits: HubLimits;
  readonly #bridges = new Map<Bridge, BridgeState<Bridge>>();
  /** The log is read, and pushed to all bridges, up to here. While it is null, no bridge has had a grant on its connection. */
  #position: string | null = null;
  #read: CurrentRead<Bridge> | undefined;
  #readBeganMs = Number.NEGATIVE_INFINITY;
  /** They wait for a read that begins after they came. */
  #waiters: Waiter[] = [];
  /** They wait for acks. */
  #groups: WaiterGroup<Bridge>[] = [];
  #waiting = 0;
  /** They have not answered the last StatusRequest. */
  readonly #asked = new Set<BridgeState<Bridge>>();
  #reported: (() => void) | undefined;
  /** When the last lease of a bridge that disconnected has run out. */
  #goneUntilMs = Number.NEGATIVE_INFINITY;

  /** `boundMs`: REVOCATION_BOUND_MS. */
  constructor(boundMs: number, output: HubOutput<Bridge>, limits: HubLimits = DEFAULT_HUB_LIMITS) {
    this.#boundMs = boundMs;
    // Bridges renew every third of the bound, so a renewal never waits for more than the next one of its own bridge.
    this.#readIntervalMs = Math.min(MAX_READ_INTERVAL_MS, boundMs / 4);
    this.#output = output;
    this.#limits = limits;
  }

  /** How many bridges are connected. */
  get bridges(): number {
    return this.#bridges.size;
  }

  /** A bridge has connected; `reports`: whether it answers a StatusRequest, because it has announced its version. */
  connected(bridge: Bridge, reports: boolean): void {
    this.#bridges.set(bridge, new BridgeState(bridge, reports));
    this.#output.send(bridge, encodeLeaseMessage({ kind: "welcome", boundMs: this.#boundMs }));
  }

  /** A frame has come; a string is a text frame, which no bridge may send. */
  received(bridge: Bridge, frame: Uint8Array | string, nowMs: number): void {
    const state = this.#bridges.get(bridge);
    if (state === undefined) return;
    if (typeof frame === "string") {
      this.#close(state, CLOSE_UNSUPPORTED_DATA, "a text frame", nowMs);
      return;
    }
    const message = decoded(frame);
    if (message instanceof ProtocolError) {
      this.#close(state, CLOSE_PROTOCOL_ERROR, message.message, nowMs);
    } else if (message.kind === "renew") {
      state.renewal = message.renewal;
      state.renewals += 1;
      if (state.renewals > this.#limits.maxRenewals) {
        this.#close(state, CLOSE_POLICY_VIOLATION, "too many renewals", nowMs);
      } else this.#readIfDue(nowMs);
    } else if (message.kind === "status") {
      if (this.#asked.delete(state)) {
        state.report = message;
        this.#settleReports();
      } else this.#close(state, CLOSE_POLICY_VIOLATION, "a status that was not asked for", nowMs);
    } else if (state.ack(message.number)) {
      this.#settle(nowMs);
    } else {
      this.#close(state, CLOSE_PROTOCOL_ERROR, "number: nothing to ack has this number", nowMs);
    }
  }

  /** A connection has ended; unknown ones are ignored. */
  disconnected(bridge: Bridge, nowMs: number): void {
    const state = this.#bridges.get(bridge);
    if (state === undefined) return;
    this.#bridges.delete(bridge);
    if (this.#asked.delete(state)) this.#settleReports();
    this.#goneUntilMs = Math.max(this.#goneUntilMs, state.leaseUntilMs);
    this.#forgetPosition();
    this.#settle(nowMs);
  }

  /**
   * Calls `done` once no bridge answers by what the log said before this call: each has acked it, or its lease has run out; with
   * null if the log could not be read or too many wait.
   */
  acknowledged(done: (reach: Reach | null) => void, nowMs: number): void {
    if (this.#waiting >= this.#limits.maxWaiters) {
      done(null);
      return;
    }
    this.#waiting += 1;
    this.#waiters.push({ done });
    if (this.#read === undefined) this.#beginRead(nowMs);
  }

  /**
   * Asks each bridge that reports for its status, and forgets what was reported before. `reported` is called once when none has
   * still to answer, which may be never; a later call replaces it.
   */
  requestStatus(reported: () => void): void {
    const frame = encodeLeaseMessage({ kind: "statusRequest" });
    this.#reported = reported;
    for (const state of this.#bridges.values()) {
      state.report = undefined;
      // One that does not answer is sent no more: what it does not read would pile up.
      if (!state.reports || this.#asked.has(state)) continue;
      this.#asked.add(state);
      this.#output.send(state.bridge, frame);
    }
    this.#settleReports();
  }

  /** What is known of a connected bridge: its report since the last {@link requestStatus}, and how old its newest lease is. */
  statusOf(
    bridge: Bridge,
    nowMs: number,
  ): { readonly report: StatusReport | null; readonly leaseAgeMs: number | null } {
    const state = this.#bridges.get(bridge);
    const leftMs = (state?.leaseUntilMs ?? nowMs) - nowMs;
    return { report: state?.report ?? null, leaseAgeMs: leftMs > 0 ? this.#boundMs - leftMs : null };
  }

  /** The read that {@link HubOutput.read} began is done. */
  readDone(page: HubPage, nowMs: number): void {
    const read = this.#read;
    if (read === undefined) throw new Error("no read was begun");
    this.#read = undefined;
    if (page.kind === "unavailable") this.#end(read.waiters, null);
    else if (this.#push(read, page, nowMs)) {
      this.#readOn(read);
      return;
    } else this.#conclude(read, nowMs);
    this.#forgetPosition();
    if (this.#waiters.length > 0) this.#beginRead(nowMs);
    else this.#readIfDue(nowMs);
  }

  /** When {@link tick} must be called next; undefined while no call of {@link acknowledged} waits for a lease to run out. */
  get deadlineMs(): number | undefined {
    let earliest: number | undefined;
    for (const group of this.#groups) earliest = Math.min(earliest ?? group.untilMs, group.untilMs);
    return earliest;
  }

  /** The time of `deadlineMs` has come. */
  tick(nowMs: number): void {
    this.#settle(nowMs);
  }

  #readIfDue(nowMs: number): void {
    const sinceMs = nowMs - this.#readBeganMs;
    // A clock that was set back must not stop the reads.
    const isDue = sinceMs >= this.#readIntervalMs || sinceMs < 0;
    if (this.#read !== undefined || !isDue) return;
    for (const { renewal } of this.#bridges.values()) {
      if (renewal === undefined) continue;
      this.#beginRead(nowMs);
      return;
    }
  }

  #beginRead(nowMs: number): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    // A bridge that connects later is granted a lease by a later read, which sees all that the waiters are about.
    if (this.#bridges.size === 0) {
      this.#wait(waiters, nowMs);
      return;
    }
    const renewals: Renewal<Bridge>[] = [];
    for (const state of this.#bridges.values()) {
      const { renewal } = state;
      if (renewal !== undefined && !state.isOverdue(nowMs, this.#boundMs)) renewals.push({ state, number: renewal });
      state.renewal = undefined;
      state.renewals = 0;
    }
    this.#readBeganMs = nowMs;
    this.#readOn({ beganMs: nowMs, waiters, renewals, changes: 0, skips: false });
  }

  /** Reads the next page. */
  #readOn(read: CurrentRead<Bridge>): void {
    this.#read = read;
    const leaseMs = read.renewals.length > 0 ? this.#boundMs : null;
    this.#output.read({ after: read.skips ? null : this.#position, leaseMs });
  }

  /** Pushes a page to all bridges; returns whether there is more to read. */
  #push(read: CurrentRead<Bridge>, page: Exclude<HubPage, { kind: "unavailable" }>, nowMs: number): boolean {
    if (page.kind === "reset" || read.skips) {
      this.#position = page.position;
      read.skips = false;
      this.#pushToAll(encodeLeaseMessage({ kind: "reset", number: 0 }), nowMs);
      return page.kind === "events" && page.more;
    }
    const sessids = changedSessids(page.events);
    read.changes += sessids.length;
    if (read.changes > this.#limits.maxChanges) {
      read.skips = true;
      return true;
    }
    this.#position = page.position;
    for (let at = 0; at < sessids.length; at += MAX_CHANGED_SESSIDS) {
      const part = sessids.slice(at, at + MAX_CHANGED_SESSIDS);
      this.#pushToAll(encodeLeaseMessage({ kind: "changes", number: 0, sessids: part }), nowMs);
    }
    return page.more;
  }

  #pushToAll(template: Uint8Array<ArrayBuffer>, nowMs: number): void {
    for (const state of [...this.#bridges.values()]) this.#pushTo(state, template, nowMs);
  }

  #pushTo(state: BridgeState<Bridge>, template: Uint8Array<ArrayBuffer>, nowMs: number): void {
    const { maxUnackedMessages, maxUnackedBytes } = this.#limits;
    state.pushed(template.byteLength, nowMs);
    if (state.unackedMessages > maxUnackedMessages || state.unackedBytes > maxUnackedBytes) {
      this.#close(state, CLOSE_TRY_AGAIN_LATER, "too many changes are not acked", nowMs);
    } else this.#output.send(state.bridge, renumbered(template, state.lastNumber));
  }

  #conclude(read: CurrentRead<Bridge>, nowMs: number): void {
    // Before the grants: a bridge that is granted a longer lease gets the changes first.
    this.#wait(read.waiters, nowMs);
    for (const { state, number } of read.renewals) {
      if (this.#bridges.get(state.bridge) !== state) continue;
      state.leaseUntilMs = Math.max(state.leaseUntilMs, read.beganMs + this.#boundMs);
      state.grants += 1;
      if (state.grants > GRANTS_UNTIL_PROBE && state.unackedMessages === 0) {
        this.#pushTo(state, encodeLeaseMessage({ kind: "changes", number: 0, sessids: [] }), nowMs);
      }
      this.#output.send(state.bridge, encodeLeaseMessage({ kind: "granted", renewal: number }));
    }
  }

  /** Lets them wait until each bridge has acked all that was pushed, or its lease as it is now has run out. */
  #wait(waiters: readonly Waiter[], nowMs: number): void {
    if (waiters.length === 0) return;
    const group = new WaiterGroup<Bridge>(waiters, this.#position, this.#goneUntilMs);
    for (const state of this.#bridges.values()) if (state.leaseUntilMs > nowMs) group.waitFor(state);
    this.#groups.push(group);
    this.#settle(nowMs);
  }

  #settle(nowMs: number): void {
    const settled = this.#groups.filter((group) => group.isSettled(nowMs));
    if (settled.length === 0) return;
    this.#groups = this.#groups.filter((group) => !settled.includes(group));
    for (const { waiters, reach } of settled) this.#end(waiters, reach);
  }

  #end(waiters: readonly Waiter[], reach: Reach | null): void {
    this.#waiting -= waiters.length;
    for (const { done } of waiters) done(reach);
  }

  #settleReports(): void {
    if (this.#asked.size > 0) return;
    this.#reported?.();
    this.#reported = undefined;
  }

  #close(state: BridgeState<Bridge>, code: number, reason: string, nowMs: number): void {
    this.disconnected(state.bridge, nowMs);
    this.#output.close(state.bridge, code, reason);
  }

  /** Without bridges nobody needs what comes between now and the next bridge's first read. */
  #forgetPosition(): void {
    if (this.#bridges.size === 0 && this.#read === undefined) this.#position = null;
  }
}

interface Renewal<Bridge> {
  readonly state: BridgeState<Bridge>;
  readonly number: number;
}

interface CurrentRead<Bridge> {
  readonly beganMs: number;
  readonly waiters: readonly Waiter[];
  /** They came before it began. */
  readonly renewals: readonly Renewal<Bridge>[];
  /** The changes of all its pages. */
  changes: number;
  /** Whether it goes on at the end of the log, because there are too many changes. */
  skips: boolean;
}

function decoded(frame: Uint8Array): BridgeMessage | ProtocolError {
  try {
    return decodeBridgeMessage(frame);
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
}

/** The sessions that have ended or changed, each once. */
function changedSessids(events: readonly HubEvent[]): number[] {
  const sessids = new Set<number>();
  for (const { kind, sessid } of events) if (kind !== "began") sessids.add(sessid);
  return [...sessids];
}
