import { ClosedCode } from "../../protocol/closed-codes.ts";
import type { RoomCore } from "../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import type { DoubtfulSessions } from "../events/watched-rooms.ts";
import type { EventHubCalls } from "../isolate.ts";
import { logFault } from "../log-fault.ts";
import type { SessionStore } from "../session-store/session-store.ts";
import { findInvalidSessions, type RoomCredential, roomIdentity, sessidOf } from "./room-admission.ts";
import { RoomSockets } from "./room-sockets.ts";
import { type RoomHooks, type RoomMember, RoomTransactions } from "./room-transaction.ts";
import { RoomWatch } from "./room-watch.ts";
import type { SqliteRoomStorage } from "./sqlite-room-storage.ts";

export interface RoomRuntimeOptions {
  readonly ctx: DurableObjectState;
  readonly storage: SqliteRoomStorage;
  readonly limits: Partial<RoomLimits>;
  readonly store: SessionStore;
  readonly eventHub: () => Pick<EventHubCalls, "watchRoom">;
  readonly hooks: RoomHooks;
  readonly nowMs: () => number;
}

/**
 * How often the room checks its members' sessions again. The event hub tells it of revokes; this is for what it missed, and so the
 * longest time until a revoke takes effect.
 */
const RECHECK_MS = 60_000;

/** Nine heartbeats of 10 s without a packet or a ping: the other end is gone, although the socket was not closed. */
const SILENT_MS = 90_000;

/** How long the room keeps its log after the last member has left. */
const EMPTY_MS = 60 * 60 * 1000;

/** Bytes in the inbox above which it is processed at once. */
const MAX_INBOX_BYTES = 256 * 1024;

/** A call of the core that waits for the next transaction. */
type RoomAction = (core: RoomCore, nowMs: number) => void;

/**
 * A room that is in memory. Messages from its sockets wait in an inbox. A {@link TransactionCoalescer} decides when the room
 * processes the inbox in one transaction. After each transaction, the room sets its timers.
 */
export class RoomRuntime {
  readonly storage: SqliteRoomStorage;
  readonly #ctx: DurableObjectState;
  readonly #store: SessionStore;
  readonly #nowMs: () => number;
  readonly #sockets: RoomSockets;
  readonly #transactions: RoomTransactions;
  readonly #coalescer: TransactionCoalescer;
  readonly #timers: RoomTimers;
  readonly #watch: RoomWatch;
  #inbox: RoomAction[] = [];
  #inboxBytes = 0;

  constructor({ ctx, storage, limits, store, eventHub, hooks, nowMs }: RoomRuntimeOptions) {
    this.storage = storage;
    this.#ctx = ctx;
    this.#store = store;
    this.#nowMs = nowMs;
    this.#sockets = new RoomSockets(ctx);
    this.#transactions = new RoomTransactions({ storage, limits, hooks, sockets: this.#sockets, nowMs });
    this.#timers = new RoomTimers(ctx, () => void this.#enqueue((core, nowMs) => core.tick(nowMs)));
    this.#coalescer = new TransactionCoalescer({
      run: () => {
        const sends = this.#sockets.sends;
        this.transact(() => undefined);
        return this.#sockets.sends - sends;
      },
      committed: () => ctx.storage.sync(),
      background: (work) => ctx.waitUntil(work),
    });
    this.#watch = new RoomWatch({
      room: storage.record.name,
      hub: eventHub,
      sessids: () => new Set(this.#sessions.map(sessidOf)),
      onWatched: (sessids) => this.#endInvalid(this.#sessions.filter((session) => sessids.has(sessidOf(session)))),
      background: (work) => ctx.waitUntil(work),
    });
  }

  /** Restores the connections that outlived the room's memory. Call it once, before anything else. */
  restore(): void {
    this.transact((core, nowMs) => core.restore(this.#sockets.kept(), nowMs));
  }

  get members(): RoomMember[] {
    return this.#transactions.members;
  }

  isIn(session: string): boolean {
    return this.#transactions.core.isIn(session);
  }

  connect(socket: WebSocket, credential: RoomCredential): void {
    const connection = this.#sockets.accept(socket, credential, this.#nowMs());
    const identity = roomIdentity(credential);
    void this.#enqueue((core, nowMs) => core.connected(connection, identity, nowMs));
    this.#watch.add(credential.sessid);
  }

  /** Resolves when the message has been processed; undefined if it already has. */
  receive(socket: WebSocket, message: ArrayBuffer | string): Promise<void> | undefined {
    const connection = this.#sockets.heard(socket, this.#nowMs());
    if (connection === undefined) return undefined;
    if (typeof message === "string") {
      const reason = 'message: allowed are packets and the text "ping"';
      return this.#enqueue((core, nowMs) => core.close(connection, ClosedCode.ProtocolError, reason, nowMs));
    }
    const bytes = new Uint8Array(message);
    return this.#enqueue((core, nowMs) => core.received(connection, bytes, nowMs), bytes.byteLength);
  }

  /** The socket has ended. Resolves as {@link receive} does. */
  disconnect(socket: WebSocket): Promise<void> | undefined {
    const connection = this.#sockets.remove(socket);
    if (connection === undefined) return undefined;
    return this.#enqueue((core, nowMs) => core.disconnected(connection, nowMs));
  }

  /** Processes the inbox, then `action`, in one transaction, or within the transaction that is running. */
  transact<T>(action: (core: RoomCore, nowMs: number) => T): T {
    try {
      return this.#transactions.run((core, nowMs) => {
        this.#processInbox(core, nowMs);
        return action(core, nowMs);
      });
    } catch (error) {
      logFault("room transaction", error);
      // The memory is ahead of the storage now. The players reconnect to a room that is rebuilt from the storage.
      this.#ctx.abort("a transaction failed");
      throw error;
    } finally {
      // A hook may call this a thousand times within a transaction: the timers are set once, after it.
      if (!this.#transactions.isRunning) this.#setTimers();
    }
  }

  /** The alarm rang: removes expired seats, silent connections, and members whose session has ended. */
  async alarm(): Promise<void> {
    this.#timers.alarmRang();
    this.transact((core, nowMs) => core.tick(nowMs));
    const { record } = this.storage;
    if (this.#isOccupied && record.recheckAtMs <= this.#nowMs()) {
      record.recheckAtMs = this.#nowMs() + RECHECK_MS;
      this.#closeSilent();
      await this.#watch.tellAll();
      await this.#endInvalid(this.#sessions);
    }
    this.#setTimers();
  }

  /** The event hub tells what became of sessions. Resolves with false if nobody is in the room. */
  async recheck(doubtful: DoubtfulSessions): Promise<boolean> {
    if (!this.#isOccupied) return false;
    this.#watch.forget(doubtful?.keys());
    const sessions = this.#sessions.filter((session) => doubtful?.has(sessidOf(session)) ?? true);
    await this.#endInvalid(sessions, doubtful);
    return true;
  }

  /** Whether the room has been empty for so long that its log can be deleted. */
  get isAbandoned(): boolean {
    const { emptySinceMs } = this.storage.record;
    return emptySinceMs !== null && this.#nowMs() >= emptySinceMs + EMPTY_MS;
  }

  get #isOccupied(): boolean {
    return this.#sockets.count > 0 || this.#transactions.core.members.length > 0;
  }

  /** Resolves when the action has run; undefined if it already has. */
  #enqueue(action: RoomAction, bytes = 0): Promise<void> | undefined {
    this.#inbox.push(action);
    this.#inboxBytes += bytes;
    if (this.#inboxBytes < MAX_INBOX_BYTES) return this.#coalescer.request();
    this.transact(() => undefined);
    return undefined;
  }

  #processInbox(core: RoomCore, nowMs: number): void {
    const inbox = this.#inbox;
    this.#inbox = [];
    this.#inboxBytes = 0;
    for (const action of inbox) action(core, nowMs);
  }

  #closeSilent(): void {
    const silent = this.#sockets.silent(this.#nowMs() - SILENT_MS);
    if (silent.length === 0) return;
    this.transact((core, nowMs) => {
      for (const connection of silent) core.close(connection, ClosedCode.GoingAway, "nothing was heard", nowMs);
    });
  }

  /** The sessions that are in the room, those included whose connections wait in the inbox. */
  get #sessions(): string[] {
    return this.transact((core) => [...core.sessions]);
  }

  async #endInvalid(sessions: readonly string[], doubtful?: DoubtfulSessions): Promise<void> {
    const invalid = await findInvalidSessions(this.#store, this.storage.record.name, sessions, doubtful);
    if (invalid.length === 0) return;
    this.transact((core, nowMs) => {
      for (const { session, code, message } of invalid) core.endSession(session, code, message, nowMs);
    });
  }

  #setTimers(): void {
    const nowMs = this.#nowMs();
    const { record } = this.storage;
    const { deadlineMs, alarmMs = Number.POSITIVE_INFINITY } = this.#transactions.core;
    this.#timers.wakeAt(deadlineMs, nowMs);
    if (!this.#isOccupied) {
      if (record.emptySinceMs === null) {
        record.emptySinceMs = nowMs;
        this.#ctx.waitUntil(this.#watch.tellAll());
      }
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

/** No message waits longer than this for others: 20 ms is below what a player notices. */
const MAX_WAIT_MS = 20;

/**
 * A send to a socket costs about 40 us, whatever its size, and coalescing saves only sends. If a room waits this long for each
 * send that it saves, it spends at most a sixth of its time on sends, and a room of two hardly waits.
 */
const WAIT_MS_PER_SEND = 0.2;

export interface TransactionCoalescerOptions {
  /** Processes the inbox in one transaction, and returns how many messages it has sent to sockets. */
  readonly run: () => number;
  /** Resolves when the storage has committed what was written. Until then, what was sent does not leave the room. */
  readonly committed: () => Promise<void>;
  /** Keeps the Durable Object alive until the promise is settled. */
  readonly background: (work: Promise<void>) => void;
}

/**
 * Decides when a room processes its inbox. A quiet room does so at once. A busy room waits for about as long as its last
 * transaction took, at most 20 ms and at most in proportion to its sends. So one transaction and one write to each socket
 * carry more messages, and the more a transaction costs, the fewer transactions there are.
 */
export class TransactionCoalescer {
  readonly #run: () => number;
  readonly #committed: () => Promise<void>;
  readonly #background: (work: Promise<void>) => void;
  #isWaiting = false;
  #next: PromiseWithResolvers<void> | undefined;

  constructor({ run, committed, background }: TransactionCoalescerOptions) {
    this.#run = run;
    this.#committed = committed;
    this.#background = background;
  }

  /** The inbox has a new action. Resolves when it was processed; undefined if it already was. */
  request(): Promise<void> | undefined {
    if (this.#isWaiting) {
      this.#next ??= Promise.withResolvers();
      return this.#next.promise;
    }
    this.#runNow();
    return undefined;
  }

  #runNow(): void {
    const startMs = Date.now();
    this.#isWaiting = true;
    let sends = 0;
    try {
      sends = this.#run();
    } finally {
      this.#background(this.#wait(startMs, sends));
    }
  }

  async #wait(startMs: number, sends: number): Promise<void> {
    const ranMs = Date.now();
    // A Worker's clock may stand still while its code runs: only after this does it show how long the transaction took.
    await Promise.race([this.#committed(), scheduler.wait(MAX_WAIT_MS)]);
    const nowMs = Date.now();
    const leftMs = Math.min(nowMs - startMs, ranMs + MAX_WAIT_MS - nowMs, sends * WAIT_MS_PER_SEND);
    if (leftMs > 0) await scheduler.wait(leftMs);
    this.#isWaiting = false;
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    this.#runNow();
    next.resolve();
  }
}

/** Calls a room back: by a timer while the room is awake, and by the Durable Object's alarm, which also wakes it. */
class RoomTimers {
  readonly #ctx: DurableObjectState;
  readonly #onTimer: () => void;
  #timer: { readonly dueMs: number; readonly id: number } | undefined;
  /** When the alarm rings, if it was set since the room was loaded. An alarm that was set before is not known. */
  #alarmMs = Number.POSITIVE_INFINITY;

  constructor(ctx: DurableObjectState, onTimer: () => void) {
    this.#ctx = ctx;
    this.#onTimer = onTimer;
  }

  /** Sets the timer to `dueMs`; undefined clears it. Only for deadlines that are near: a timer keeps the room awake. */
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

  /** The alarm must ring at `atMs` or before. An alarm that rings too early sets the next one, which costs less than to move it. */
  alarmAt(atMs: number): void {
    if (this.#alarmMs <= atMs) return;
    this.#alarmMs = atMs;
    this.#ctx.waitUntil(this.#ctx.storage.setAlarm(atMs));
  }

  /** The alarm rang, so none is set. */
  alarmRang(): void {
    this.#alarmMs = Number.POSITIVE_INFINITY;
  }
}
