import { ClosedCode } from "../../protocol/closed-codes.ts";
import type { RoomCore } from "../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import { logFault } from "../log-fault.ts";
import type { SessionStore } from "../session-store/session-store.ts";
import { findInvalidSeats, type RoomCredential, roomIdentity } from "./room-admission.ts";
import { RoomSockets } from "./room-sockets.ts";
import { type RoomHooks, type RoomMember, RoomTransactions } from "./room-transaction.ts";
import type { SqliteRoomStorage } from "./sqlite-room-storage.ts";

export interface RoomRuntimeOptions {
  readonly ctx: DurableObjectState;
  readonly storage: SqliteRoomStorage;
  readonly limits: Partial<RoomLimits>;
  readonly store: SessionStore;
  readonly hooks: RoomHooks;
  readonly nowMs: () => number;
}

/** How often the members' sessions are asked for again: what a revoke may take to be seen here. */
const RECHECK_MS = 60_000;

/** Nine heartbeats of 10 s without a packet or a ping: the other end is gone, although no close has come. */
const SILENT_MS = 90_000;

/** An empty room is kept for so long. */
const EMPTY_MS = 60 * 60 * 1000;

/** Messages that wait for their turn, in bytes: above it there is no gathering. */
const MAX_INBOX_BYTES = 256 * 1024;

/** A room that is awake: what has come waits here for its turn, and behind each turn its timers are set. */
export class RoomRuntime {
  readonly storage: SqliteRoomStorage;
  readonly #ctx: DurableObjectState;
  readonly #store: SessionStore;
  readonly #nowMs: () => number;
  readonly #sockets: RoomSockets;
  readonly #turns: RoomTransactions;
  readonly #gather: TransactionCoalescer;
  readonly #timers: RoomTimers;
  /** What has come and waits for its turn, in order. */
  #inbox: ((core: RoomCore, nowMs: number) => void)[] = [];
  #inboxBytes = 0;

  constructor({ ctx, storage, limits, store, hooks, nowMs }: RoomRuntimeOptions) {
    this.storage = storage;
    this.#ctx = ctx;
    this.#store = store;
    this.#nowMs = nowMs;
    this.#sockets = new RoomSockets(ctx);
    this.#turns = new RoomTransactions({ storage, limits, hooks, sockets: this.#sockets, nowMs });
    this.#timers = new RoomTimers(ctx, () => void this.#take((core, nowMs) => core.tick(nowMs)));
    this.#gather = new TransactionCoalescer({
      run: () => {
        const sends = this.#sockets.sends;
        this.transact(() => undefined);
        return this.#sockets.sends - sends;
      },
      confirmed: () => ctx.storage.sync(),
      background: (work) => ctx.waitUntil(work),
    });
  }

  /** Takes up where the room's memory was lost; once, before anything else. */
  restore(): void {
    this.transact((core, nowMs) => core.restore(this.#sockets.kept(), nowMs));
  }

  get members(): RoomMember[] {
    return this.#turns.members;
  }

  isIn(session: string): boolean {
    return this.#turns.core.isIn(session);
  }

  connect(socket: WebSocket, credential: RoomCredential): void {
    const connection = this.#sockets.accept(socket, credential, this.#nowMs());
    const identity = roomIdentity(credential);
    void this.#take((core, nowMs) => core.connected(connection, identity, nowMs));
  }

  /** Resolves when the message was processed; undefined if it is already. */
  receive(socket: WebSocket, message: ArrayBuffer | string): Promise<void> | undefined {
    const connection = this.#sockets.heard(socket, this.#nowMs());
    if (connection === undefined) return undefined;
    if (typeof message === "string") {
      const reason = 'message: allowed are packets and the text "ping"';
      return this.#take((core, nowMs) => core.close(connection, ClosedCode.ProtocolError, reason, nowMs));
    }
    const bytes = new Uint8Array(message);
    return this.#take((core, nowMs) => core.received(connection, bytes, nowMs), bytes.byteLength);
  }

  /** As {@link receive}. */
  disconnect(socket: WebSocket): Promise<void> | undefined {
    const connection = this.#sockets.forget(socket);
    if (connection === undefined) return undefined;
    return this.#take((core, nowMs) => core.disconnected(connection, nowMs));
  }

  tick(): void {
    this.transact((core, nowMs) => core.tick(nowMs));
  }

  /** Runs `action` after everything that has come before it; both are one turn, or a part of the one that runs. */
  transact<T>(action: (core: RoomCore, nowMs: number) => T): T {
    try {
      return this.#turns.run((core, nowMs) => {
        this.#emptyInbox(core, nowMs);
        return action(core, nowMs);
      });
    } catch (error) {
      logFault("room turn", error);
      // The memory is ahead of the storage now: the players come back to a room that is rebuilt from it.
      this.#ctx.abort("a turn failed");
      throw error;
    } finally {
      // Content code may act a thousand times in a turn; what to wait for is known behind it.
      if (!this.#turns.isRunning) this.#setTimers();
    }
  }

  /** What the alarm is for: lost seats, silent connections and sessions that have ended. */
  async alarm(): Promise<void> {
    this.#timers.alarmCame();
    this.tick();
    const { record } = this.storage;
    if (this.#isOccupied && record.recheckAtMs <= this.#nowMs()) {
      record.recheckAtMs = this.#nowMs() + RECHECK_MS;
      this.#dropSilent();
      await this.#dropInvalid();
    }
    this.#setTimers();
  }

  /** Whether the room was empty for so long that nothing of it need be kept. */
  get isAbandoned(): boolean {
    const { emptySinceMs } = this.storage.record;
    return emptySinceMs !== null && this.#nowMs() >= emptySinceMs + EMPTY_MS;
  }

  get #isOccupied(): boolean {
    return this.#sockets.count > 0 || this.#turns.core.members.length > 0;
  }

  /** Takes in what has come. Resolves when it was processed; undefined if it is already. */
  #take(action: (core: RoomCore, nowMs: number) => void, bytes = 0): Promise<void> | undefined {
    this.#inbox.push(action);
    this.#inboxBytes += bytes;
    if (this.#inboxBytes < MAX_INBOX_BYTES) return this.#gather.request();
    this.transact(() => undefined);
    return undefined;
  }

  #emptyInbox(core: RoomCore, nowMs: number): void {
    const inbox = this.#inbox;
    this.#inbox = [];
    this.#inboxBytes = 0;
    for (const action of inbox) action(core, nowMs);
  }

  #dropSilent(): void {
    const silent = this.#sockets.silent(this.#nowMs() - SILENT_MS);
    if (silent.length === 0) return;
    this.transact((core, nowMs) => {
      for (const connection of silent) core.close(connection, ClosedCode.GoingAway, "nothing was heard", nowMs);
    });
  }

  async #dropInvalid(): Promise<void> {
    const { name } = this.storage.record;
    const invalid = await findInvalidSeats(this.#store, name, this.#turns.core.members);
    if (invalid.length === 0) return;
    this.transact((core, nowMs) => {
      const sessions = new Map(core.members.map(({ member, session }) => [member, session]));
      for (const { member, session, code, message } of invalid) {
        if (sessions.get(member) === session) core.remove(member, code, message, nowMs);
      }
    });
  }

  #setTimers(): void {
    const nowMs = this.#nowMs();
    const { record } = this.storage;
    const { deadlineMs, alarmMs = Number.POSITIVE_INFINITY } = this.#turns.core;
    this.#timers.wakeAt(deadlineMs, nowMs);
    if (!this.#isOccupied) {
      record.emptySinceMs ??= nowMs;
      this.#timers.alarmAt(record.emptySinceMs + EMPTY_MS);
      return;
    }
    if (record.emptySinceMs !== null) {
      record.emptySinceMs = null;
      record.recheckAtMs = nowMs + RECHECK_MS;
    }
    this.#timers.alarmAt(Math.min(alarmMs, record.recheckAtMs));
  }
}

/** When a room is called again: a timer while it is awake, and the alarm, which also wakes it. */
export class RoomTimers {
  readonly #ctx: DurableObjectState;
  readonly #onTimer: () => void;
  #timer: { readonly dueMs: number; readonly id: number } | undefined;
  /** When the alarm that this memory has set comes; what an earlier one set is not known. */
  #alarmMs = Number.POSITIVE_INFINITY;

  constructor(ctx: DurableObjectState, onTimer: () => void) {
    this.#ctx = ctx;
    this.#onTimer = onTimer;
  }

  /** Calls back at `dueMs`, undefined for not at all. Only for what is near: a pending timer keeps the room awake. */
  wakeAt(dueMs: number | undefined, nowMs: number): void {
    if (this.#timer?.dueMs === dueMs) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer.id);
    this.#timer = undefined;
    if (dueMs === undefined) return;
    const call = () => {
      this.#timer = undefined;
      this.#onTimer();
    };
    this.#timer = { dueMs, id: setTimeout(call, Math.max(0, dueMs - nowMs)) };
  }

  /** Has the alarm come at `atMs` or earlier: one that comes too early sets the next, which is cheaper than each change. */
  alarmAt(atMs: number): void {
    if (this.#alarmMs <= atMs) return;
    this.#alarmMs = atMs;
    this.#ctx.waitUntil(this.#ctx.storage.setAlarm(atMs));
  }

  /** The alarm has come, so none is set. */
  alarmCame(): void {
    this.#alarmMs = Number.POSITIVE_INFINITY;
  }
}

/** No message waits longer than this for others to come: 20 ms is below what a player notices. */
const MAX_GATHER_MS = 20;

/**
 * A send to a socket costs about 40 us, whatever its size, and sends are all that gathering saves. So long for each, a
 * room spends at most a sixth of its time on them; a room of two hardly waits.
 */
const GATHER_MS_PER_SEND = 0.2;

export interface TransactionCoalescerOptions {
  /** Processes everything that has come, and returns to how many sockets it has sent. */
  readonly run: () => number;
  /** Resolves when the storage has confirmed what was written: until then nothing that was sent leaves. */
  readonly confirmed: () => Promise<void>;
  /** Keeps a promise running. */
  readonly background: (work: Promise<void>) => void;
}

/**
 * Decides when a room processes what has come. A quiet room does it at once; a busy one gathers for about as long as its
 * last run took, at most 20 ms and at most in proportion to its sends, so that one write to the storage and one to each
 * socket carry more. It adjusts itself: the more a run costs, the fewer there are.
 */
export class TransactionCoalescer {
  readonly #run: () => number;
  readonly #confirmed: () => Promise<void>;
  readonly #background: (work: Promise<void>) => void;
  #isOpen = false;
  #next: PromiseWithResolvers<void> | undefined;

  constructor({ run, confirmed, background }: TransactionCoalescerOptions) {
    this.#run = run;
    this.#confirmed = confirmed;
    this.#background = background;
  }

  /** Something has come. Resolves when it was processed; undefined if it is already. */
  request(): Promise<void> | undefined {
    if (this.#isOpen) {
      this.#next ??= Promise.withResolvers();
      return this.#next.promise;
    }
    this.#runNow();
    return undefined;
  }

  #runNow(): void {
    const startMs = Date.now();
    this.#isOpen = true;
    let sends = 0;
    try {
      sends = this.#run();
    } finally {
      this.#background(this.#gather(startMs, sends));
    }
  }

  async #gather(startMs: number, sends: number): Promise<void> {
    const ranMs = Date.now();
    // A Worker's clock may stand still while its code runs: only after this does it show what the run took.
    await Promise.race([this.#confirmed(), scheduler.wait(MAX_GATHER_MS)]);
    const nowMs = Date.now();
    const leftMs = Math.min(nowMs - startMs, ranMs + MAX_GATHER_MS - nowMs, sends * GATHER_MS_PER_SEND);
    if (leftMs > 0) await scheduler.wait(leftMs);
    this.#isOpen = false;
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    this.#runNow();
    next.resolve();
  }
}
