import { WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { Presence, type Publish } from "../../protocol/player-packets.ts";
import type { RoomOutput } from "../../protocol/reliable/room/room-connections.ts";
import { RoomCore } from "../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import type { Seat } from "../../protocol/reliable/room/room-seats.ts";
import { logFault } from "../log-fault.ts";
import type { RoomSockets } from "./room-sockets.ts";
import type { SqliteRoomStorage } from "./sqlite-room-storage.ts";

export interface RoomTransactionsOptions {
  readonly storage: SqliteRoomStorage;
  readonly limits: Partial<RoomLimits>;
  readonly hooks: RoomHooks;
  readonly sockets: RoomSockets;
  readonly nowMs: () => number;
}

/**
 * Runs a room's core turn by turn. A turn is one transaction: the log, the seats and what the content code does in it are
 * kept together or not at all. What is to be sent is handed to the sockets behind it, and the runtime lets none of it
 * leave before the storage has confirmed the transaction: so an Ack says that a message is durable.
 */
export class RoomTransactions {
  readonly #storage: SqliteRoomStorage;
  readonly #hooks: RoomHooks;
  readonly #sockets: RoomSockets;
  readonly #nowMs: () => number;
  readonly #core: RoomCore;
  #turnMs: number | undefined;
  /** Whether content code has acted since the outputs were taken. */
  #acted = false;

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
    return this.#turnMs !== undefined;
  }

  /**
   * Runs one turn, or a part of the one that runs: content code acts from within a hook.
   *
   * @throws whatever went wrong: the storage is as it was, and this object must not be used any more
   */
  run<T>(action: (core: RoomCore, nowMs: number) => T): T {
    if (this.#turnMs !== undefined) {
      this.#acted = true;
      return action(this.#core, this.#turnMs);
    }
    const nowMs = this.#nowMs();
    this.#turnMs = nowMs;
    try {
      const { result, outputs } = this.#storage.transaction(() => {
        const result = action(this.#core, nowMs);
        return { result, outputs: this.#collect(nowMs) };
      });
      for (const output of outputs) this.#execute(output);
      return result;
    } finally {
      this.#turnMs = undefined;
    }
  }

  /** The outputs of the turn, with what the hooks that they call add to them. */
  #collect(nowMs: number): RoomOutput[] {
    const outputs: RoomOutput[] = [];
    do {
      this.#acted = false;
      const taken = this.#core.takeOutputs(nowMs);
      outputs.push(...taken);
      for (const output of taken) this.#tell(output);
    } while (this.#acted);
    return outputs;
  }

  #execute(output: RoomOutput): void {
    if (output.kind === "write") this.#sockets.send(output.connection, output.bytes);
    else if (output.kind === "close") {
      this.#sockets.close(output.connection, WEBSOCKET_CLOSE_BASE + output.code, output.message);
    }
  }

  #tell(output: RoomOutput): void {
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
      const { member, ackedByPlayer: acknowledged } = output.snapshot;
      const before = this.#sockets.keep(output.connection, output.snapshot);
      if (before?.snapshot === undefined || acknowledged <= before.snapshot.ackedByPlayer) return;
      const { user } = before.credential;
      this.#call(() => this.#hooks.onSent({ member, user, connected: true }, acknowledged));
    }
  }

  #receive(from: Seat, { to, body }: Publish): void {
    this.#call(() => this.#hooks.onReceive(toMember(from), { to, body }));
  }

  /** A hook that throws does not end the room: what it did until then counts. */
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

/** A member, as content code sees it. */
export interface RoomMember {
  /** The player's number in this room: none has it twice while the room is kept. */
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

/** What a room tells its content code. Each is called in the turn in which it happened; none may wait for anything. */
export interface RoomHooks {
  /** A member came, or came back. */
  onConnected(member: RoomMember, how: "joined" | "resumed"): void;
  /** A member's connection is lost and its seat is held, or it is gone for good. */
  onDisconnected(member: RoomMember, how: "held" | "left"): void;
  /** A member's message arrived, once each and in its order; it is durable together with what the hook does. */
  onReceive(from: RoomMember, message: RoomMessage): void;
  /** A member has acknowledged what was sent to it, up to this offset. */
  onSent(to: RoomMember, offset: number): void;
}
