import { WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { Presence, type Publish } from "../../protocol/player-packets.ts";
import type { RoomOutput } from "../../protocol/reliable/room/room-connections.ts";
import { RoomCore } from "../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import type { Seat } from "../../protocol/reliable/room/room-seats.ts";
import { logFault } from "../log-fault.ts";
import type { RoomSockets } from "./room-sockets.ts";
import type { SqliteRoomStorage } from "./sqlite-room-storage.ts";

/** A member, as content code sees it. */
export interface RoomMember {
  /** The player's number in this room; no other member gets it while the room's log is kept. */
  readonly member: number;
  readonly user: string;
  /** false while the connection is lost and the seat is held. */
  readonly connected: boolean;
}

/** A reliable message from a member. */
export interface RoomMessage {
  /** 0 is everybody in the room, else one member. */
  readonly to: number;
  readonly body: Uint8Array;
}

/** What a room reports to its content code. Each hook runs in the transaction in which it happened, and is synchronous. */
export interface RoomHooks {
  /** A member joined, or resumed after a lost connection. */
  onConnected(member: RoomMember, how: "joined" | "resumed"): void;
  /** A member's connection is lost and its seat is held, or the member has left. */
  onDisconnected(member: RoomMember, how: "held" | "left"): void;
  /** A member's message arrived, once and in order. It becomes durable together with what the hook does. */
  onReceive(from: RoomMember, message: RoomMessage): void;
  /** A member has acked what it was sent, up to this offset. */
  onSent(to: RoomMember, offset: number): void;
}

export interface RoomTransactionsOptions {
  readonly storage: SqliteRoomStorage;
  readonly limits: Partial<RoomLimits>;
  readonly hooks: RoomHooks;
  readonly sockets: RoomSockets;
  readonly nowMs: () => number;
}

/**
 * Runs a room's core in transactions: the log, the seats and what the content code stores are committed together or not at
 * all. Then the sockets get what the core sends. Workers' output gate holds it back until the storage has committed, so an
 * Ack means that the message is durable.
 */
export class RoomTransactions {
  readonly #storage: SqliteRoomStorage;
  readonly #hooks: RoomHooks;
  readonly #sockets: RoomSockets;
  readonly #nowMs: () => number;
  readonly #core: RoomCore;
  /** The time of the transaction that runs. */
  #runningMs: number | undefined;
  /** Whether a hook has called the core since the outputs were taken. */
  #hookActed = false;

  constructor({ storage, limits, hooks, sockets, nowMs }: RoomTransactionsOptions) {
    this.#storage = storage;
    this.#hooks = hooks;
    this.#sockets = sockets;
    this.#nowMs = nowMs;
    this.#core = new RoomCore({
      name: storage.record.name,
      storage,
      limits,
      onReceive: (_, from, message) => this.#receive(from, message),
      pingedMs: (connection) => sockets.pingedMs(connection),
    });
  }

  get core(): RoomCore {
    return this.#core;
  }

  get members(): RoomMember[] {
    return this.#core.members.map(toMember);
  }

  get isRunning(): boolean {
    return this.#runningMs !== undefined;
  }

  /**
   * Runs one transaction. Within a hook, `action` becomes a part of the transaction that runs.
   *
   * @throws what `action` threw: the storage is unchanged, but the core is not, so do not use this object any more
   */
  run<T>(action: (core: RoomCore, nowMs: number) => T): T {
    if (this.#runningMs !== undefined) {
      this.#hookActed = true;
      return action(this.#core, this.#runningMs);
    }
    const nowMs = this.#nowMs();
    this.#runningMs = nowMs;
    try {
      const { result, outputs } = this.#storage.transaction(() => {
        const result = action(this.#core, nowMs);
        return { result, outputs: this.#collect(nowMs) };
      });
      for (const output of outputs) this.#execute(output);
      return result;
    } finally {
      this.#runningMs = undefined;
    }
  }

  /** The outputs of the transaction, with those that its hooks cause. */
  #collect(nowMs: number): RoomOutput[] {
    const outputs: RoomOutput[] = [];
    do {
      this.#hookActed = false;
      const taken = this.#core.takeOutputs(nowMs);
      outputs.push(...taken);
      for (const output of taken) this.#callHooks(output);
    } while (this.#hookActed);
    return outputs;
  }

  #execute(output: RoomOutput): void {
    if (output.kind === "write") this.#sockets.send(output.connection, output.bytes);
    else if (output.kind === "close") {
      this.#sockets.close(output.connection, WEBSOCKET_CLOSE_BASE + output.code, output.message);
    }
  }

  #callHooks(output: RoomOutput): void {
    if (output.kind === "presence") {
      const { member, user, state } = output;
      if (state === Presence.Joined || state === Presence.Resumed) {
        const how = state === Presence.Joined ? "joined" : "resumed";
        this.#call(() => this.#hooks.onConnected({ member, user, connected: true }, how));
      } else {
        const how = state === Presence.Held ? "held" : "left";
        this.#call(() => this.#hooks.onDisconnected({ member, user, connected: false }, how));
      }
    } else if (output.kind === "snapshot") {
      const { member, ackedByPlayer } = output.snapshot;
      const before = this.#sockets.keep(output.connection, output.snapshot);
      if (before?.snapshot === undefined || ackedByPlayer <= before.snapshot.ackedByPlayer) return;
      const { user } = before.credential;
      this.#call(() => this.#hooks.onSent({ member, user, connected: true }, ackedByPlayer));
    }
  }

  #receive(from: Seat, { to, body }: Publish): void {
    this.#call(() => this.#hooks.onReceive(toMember(from), { to, body }));
  }

  /** A hook that throws does not end the room: what it did before counts. */
  #call(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      logFault("room hook", error);
    }
  }
}

function toMember({ member, user, heldSinceMs }: Seat): RoomMember {
  return { member, user, connected: heldSinceMs === null };
}
