import { ClosedCode } from "../../protocol/closed-codes.ts";
import type { RoomCore } from "../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import { logFault } from "../log-fault.ts";
import type { SessionStore } from "../session-store/session-store.ts";
import { GatherWindow } from "./gather-window.ts";
import { type RoomCredential, roomIdentity } from "./room-credential.ts";
import type { RoomHooks, RoomMember } from "./room-hooks.ts";
import { findInvalidSeats } from "./room-session-check.ts";
import { RoomSockets } from "./room-sockets.ts";
import { RoomTimers } from "./room-timers.ts";
import { RoomTurns } from "./room-turns.ts";
import type { SqliteRoomStorage } from "./storage/sqlite-room-storage.ts";

export interface OpenRoomOptions {
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
export class OpenRoom {
  readonly storage: SqliteRoomStorage;
  readonly #ctx: DurableObjectState;
  readonly #store: SessionStore;
  readonly #nowMs: () => number;
  readonly #sockets: RoomSockets;
  readonly #turns: RoomTurns;
  readonly #gather: GatherWindow;
  readonly #timers: RoomTimers;
  /** What has come and waits for its turn, in order. */
  #inbox: ((core: RoomCore, nowMs: number) => void)[] = [];
  #inboxBytes = 0;

  constructor({ ctx, storage, limits, store, hooks, nowMs }: OpenRoomOptions) {
    this.storage = storage;
    this.#ctx = ctx;
    this.#store = store;
    this.#nowMs = nowMs;
    this.#sockets = new RoomSockets(ctx);
    this.#turns = new RoomTurns({ storage, limits, hooks, sockets: this.#sockets, nowMs });
    this.#timers = new RoomTimers(ctx, () => void this.#take((core, nowMs) => core.tick(nowMs)));
    this.#gather = new GatherWindow({
      run: () => {
        const sends = this.#sockets.sends;
        this.turn(() => undefined);
        return this.#sockets.sends - sends;
      },
      confirmed: () => ctx.storage.sync(),
      background: (work) => ctx.waitUntil(work),
    });
  }

  /** Takes up where the room's memory was lost; once, before anything else. */
  restore(): void {
    this.turn((core, nowMs) => core.restore(this.#sockets.kept(), nowMs));
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
    this.turn((core, nowMs) => core.tick(nowMs));
  }

  /** Runs `action` after everything that has come before it; both are one turn, or a part of the one that runs. */
  turn<T>(action: (core: RoomCore, nowMs: number) => T): T {
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
    this.turn(() => undefined);
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
    this.turn((core, nowMs) => {
      for (const connection of silent) core.close(connection, ClosedCode.GoingAway, "nothing was heard", nowMs);
    });
  }

  async #dropInvalid(): Promise<void> {
    const { name } = this.storage.record;
    const invalid = await findInvalidSeats(this.#store, name, this.#turns.core.members);
    if (invalid.length === 0) return;
    this.turn((core, nowMs) => {
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
