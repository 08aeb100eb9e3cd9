import type { HubPage } from "../../../protocol/leases/lease-hub.ts";
import type { Random } from "../random.ts";
import type { VirtualClock } from "../simulator/virtual-clock.ts";
import { SimulatedProcess } from "./simulated-process.ts";

/** A request is Unavailable after this time. */
const DEADLINE_MS = 1000;

/** What a session was, from one change to the next. */
export interface SessionState {
  readonly sessid: number;
  readonly id: string;
  readonly idleMs: number;
  /** By the store's clock: it lives no longer, however often it is renewed. */
  readonly endsMs: number;
  /** When the register that began it was answered, in real time. */
  answeredMs: number;
  /** By the store's clock. */
  expiresMs: number;
  /** What ended it; undefined while it is the session's state. An expiry is one, once it is written. */
  change: Change | undefined;
}

/** An end or a change of a session. Times are real. */
export interface Change {
  readonly takenMs: number;
  readonly isExpiry: boolean;
  /** When its writer was answered. */
  answeredMs: number;
}

/** A write, for {@link SimulatedStore.write}. */
export type Write =
  | { readonly kind: "delete" | "change" | "register"; readonly sessid: number }
  | { readonly kind: "endAll" };

export interface Written {
  /** What it changed, and earlier changes of the same sessions that are not answered yet: its answer is theirs too. */
  readonly changes: readonly Change[];
  /** The session that a register began or found. */
  readonly registered: SessionState | undefined;
  /** The hubs whose leases may run, and for how long. */
  readonly leases: ReadonlyMap<string, number>;
}

export type LookedUp =
  | { readonly kind: "ok"; readonly state: SessionState; readonly keepMs: number }
  | { readonly kind: "notFound" };

/** The most sessions of one user; a register beyond it ends the oldest. */
const SESSIONS_OF_USER = 3;
const USERS = 3;

/** Redis with its log and its leases. Each call is atomic. */
export class SimulatedStore {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly #process: SimulatedProcess;
  readonly #latencyMs: number;
  /** Of the sessions that have not ended, or whose expiry is not written. */
  readonly #states = new Map<number, SessionState>();
  readonly #everyState = new Map<number, SessionState[]>();
  #stateCount = 0;
  /** All changes of each session. */
  readonly #changes = new Map<number, Change[]>();
  readonly #leases = new Map<string, number>();
  /** The position of `#log[n]` is `#firstPosition + n`. */
  #log: { readonly kind: "began" | "changed" | "ended"; readonly sessid: number }[] = [];
  #firstPosition = 1;
  #downUntilMs = 0;
  /** How likely it is that a request or its reply is lost, and that a reply takes long. */
  lossRate = 0;
  slowRate = 0;

  constructor(clock: VirtualClock, random: Random, latencyMs: number) {
    this.clock = clock;
    this.random = random;
    this.#process = new SimulatedProcess(clock, random);
    this.#latencyMs = latencyMs;
  }

  get nowMs(): number {
    return this.#process.monotonicMs;
  }

  /** The states that a session has had, the newest last. */
  statesOf(sessid: number): readonly SessionState[] {
    return this.#everyState.get(sessid) ?? [];
  }

  /**
   * Runs `call` in the store, and then `done` with its result in the caller's process; with undefined if the store did not answer
   * in time, in which case the call may have been made.
   */
  request<T>(caller: SimulatedProcess, call: () => T, done: (result: T | undefined) => void): void {
    let isDone = false;
    const end = (result: T | undefined) => {
      if (isDone) return;
      isDone = true;
      done(result);
    };
    caller.in(DEADLINE_MS, () => end(undefined));
    const isLost = this.random.chance(this.lossRate);
    const isReplyLost = this.random.chance(this.lossRate);
    const slowMs = this.random.chance(this.slowRate) ? this.random.integer(0, DEADLINE_MS) : 0;
    this.clock.in(this.#delayMs(), () => {
      if (isLost || this.clock.nowMs < this.#downUntilMs) return;
      const result = call();
      if (!isReplyLost) this.clock.in(this.#delayMs() + slowMs, () => caller.run(() => end(result)));
    });
  }

  /** A failover: no request is executed for a while. Nothing is lost. */
  fail(forMs: number): void {
    this.#downUntilMs = Math.max(this.#downUntilMs, this.clock.nowMs + forMs);
  }

  heal(): void {
    this.#downUntilMs = 0;
    this.lossRate = 0;
    this.slowRate = 0;
  }

  /** Drops all but the last entries of the log. */
  trimLog(entries: number): void {
    const dropped = Math.max(0, this.#log.length - entries);
    this.#log = this.#log.slice(dropped);
    this.#firstPosition += dropped;
  }

  /** A write that evicts, ends or changes; every one of a session that is not there waits for the leases too. */
  write(write: Write): Written {
    this.#endExpired();
    const sessids = this.#make(write);
    const leases = new Map<string, number>();
    for (const [hub, untilMs] of this.#leases) if (untilMs > this.nowMs) leases.set(hub, untilMs - this.nowMs);
    const changes = sessids.flatMap((sessid) => this.#changes.get(sessid) ?? []);
    return {
      changes: changes.filter(({ answeredMs }) => answeredMs === Number.POSITIVE_INFINITY),
      registered: write.kind === "register" ? this.#states.get(write.sessid) : undefined,
      leases,
    };
  }

  /** A check at the primary. It renews the session a little later, as the worker does. */
  lookUp(sessid: number): LookedUp {
    const state = this.#states.get(sessid);
    if (state === undefined || state.expiresMs <= this.nowMs) return { kind: "notFound" };
    const keepMs = Math.min(30_000, state.idleMs / 10, state.expiresMs - this.nowMs);
    if (!this.random.chance(this.lossRate)) this.clock.in(this.#delayMs(), () => this.#touch(state));
    return { kind: "ok", state, keepMs: Math.floor(keepMs / 1000) * 1000 };
  }

  readLog(after: string | null, limit: number, lease: { readonly hub: string; readonly ms: number } | null): HubPage {
    this.#endExpired();
    if (lease !== null) {
      this.#leases.set(lease.hub, Math.max(this.#leases.get(lease.hub) ?? 0, this.nowMs + lease.ms));
    }
    if (this.#log.length === 0) this.#log.push({ kind: "began", sessid: 0 });
    const last = this.#firstPosition + this.#log.length - 1;
    if (after === null) return { kind: "events", events: [], position: `${last}`, more: false };
    const from = Number(after) - this.#firstPosition;
    if (from < 0) return { kind: "reset", position: `${last}` };
    const events = this.#log.slice(from + 1, from + 1 + limit);
    const position = this.#firstPosition + from + events.length;
    return { kind: "events", events, position: `${position}`, more: position < last };
  }

  /** Returns the sessions that it ended or changed, or that are as it wants them. */
  #make(write: Write): number[] {
    if (write.kind === "endAll") {
      for (const sessid of [...this.#states.keys()]) this.#end(sessid, false);
      return [...this.#changes.keys()];
    }
    if (write.kind === "register") return this.#register(write.sessid);
    const state = this.#states.get(write.sessid);
    if (state === undefined) return [write.sessid];
    if (write.kind === "delete") this.#end(write.sessid, false);
    else {
      this.#change(state, false);
      this.#begin(write.sessid, state.idleMs, state.endsMs);
      this.#log.push({ kind: "changed", sessid: write.sessid });
    }
    return [write.sessid];
  }

  #register(sessid: number): number[] {
    if (this.#states.has(sessid)) return [];
    const ofUser = [...this.#states.keys()].filter((other) => other % USERS === sessid % USERS);
    const evicted = ofUser.slice(0, Math.max(0, ofUser.length + 1 - SESSIONS_OF_USER));
    for (const oldest of evicted) this.#end(oldest, false);
    const idleMs = this.random.chance(0.3) ? this.random.integer(10_000, 30_000) : 300_000;
    this.#begin(sessid, idleMs, this.nowMs + (this.random.chance(0.3) ? this.random.integer(1_000, 6_000) : 1e9));
    this.#log.push({ kind: "began", sessid });
    return evicted;
  }

  #begin(sessid: number, idleMs: number, endsMs: number): void {
    this.#stateCount += 1;
    const state: SessionState = {
      sessid,
      id: `${sessid}.${this.#stateCount}`,
      idleMs,
      endsMs,
      answeredMs: Number.POSITIVE_INFINITY,
      expiresMs: Math.min(this.nowMs + idleMs, endsMs),
      change: undefined,
    };
    this.#states.set(sessid, state);
    this.#everyState.set(sessid, [...this.statesOf(sessid), state]);
  }

  #end(sessid: number, isExpiry: boolean): void {
    const state = this.#states.get(sessid);
    if (state === undefined) throw new Error(`${sessid} does not live`);
    this.#states.delete(sessid);
    this.#log.push({ kind: "ended", sessid });
    this.#change(state, isExpiry);
  }

  #change(state: SessionState, isExpiry: boolean): void {
    const change = { takenMs: this.clock.nowMs, isExpiry, answeredMs: Number.POSITIVE_INFINITY };
    state.change = change;
    this.#changes.set(state.sessid, [...(this.#changes.get(state.sessid) ?? []), change]);
  }

  #endExpired(): void {
    for (const [sessid, { expiresMs }] of [...this.#states]) if (expiresMs <= this.nowMs) this.#end(sessid, true);
  }

  #touch(state: SessionState): void {
    if (state.change !== undefined || state.expiresMs <= this.nowMs) return;
    state.expiresMs = Math.min(this.nowMs + state.idleMs, state.endsMs);
  }

  #delayMs(): number {
    return this.#latencyMs * (1 + this.random.next());
  }
}
