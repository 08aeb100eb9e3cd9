import type { Presence } from "../../../protocol/player-packets.ts";
import type { ConnectionSnapshot, RoomIdentity, RoomOutput } from "../../../protocol/reliable/room/room-connections.ts";
import { RoomCore } from "../../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../../protocol/reliable/room/room-limits.ts";
import type { LogEntry } from "../../../protocol/reliable/room/room-log.ts";
import { MemoryRoomStorage } from "../rooms/memory-room-storage.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** The far end of a room's connection. */
export interface RoomSocket {
  readonly identity: RoomIdentity;
  write(bytes: Uint8Array): void;
  /** The room closed it, or it ended with the room's process. */
  closed(): void;
}

/** What really happened in one incarnation of the log. */
export interface Chronicle {
  readonly epoch: number;
  readonly entries: LogEntry[];
  readonly storage: MemoryRoomStorage;
}

export const ROOM_NAME = "lobby";

/** Drives a room core as a Durable Object does: a transaction, then its outputs; at times the memory is lost. */
export class SimulatedRoom {
  /** All incarnations, the current one last. */
  readonly chronicles: Chronicle[] = [];
  readonly presences: { member: number; state: Presence }[] = [];
  readonly #clock: VirtualClock;
  readonly #limits: Partial<RoomLimits>;
  readonly #sockets = new Map<number, { socket: RoomSocket; snapshot: ConnectionSnapshot | undefined }>();
  #core: RoomCore;
  #chronicle: Chronicle;
  #nextConnection = 1;
  #wakeMs = Number.POSITIVE_INFINITY;
  /** The outputs of the next transaction are lost: the process crashes after the commit. */
  #dies = false;

  constructor(clock: VirtualClock, limits: Partial<RoomLimits>) {
    this.#clock = clock;
    this.#limits = limits;
    this.#chronicle = this.#incarnate();
    this.#core = this.#makeCore();
  }

  get chronicle(): Chronicle {
    return this.#chronicle;
  }

  get memberNumbers(): number[] {
    return this.#core.members.map(({ member }) => member);
  }

  connect(socket: RoomSocket): number {
    const id = this.#nextConnection++;
    this.#sockets.set(id, { socket, snapshot: undefined });
    this.#transact((nowMs) => this.#core.connected(id, socket.identity, nowMs));
    return id;
  }

  receive(id: number, message: Uint8Array): void {
    if (this.#sockets.has(id)) this.#transact((nowMs) => this.#core.received(id, message, nowMs));
  }

  disconnect(id: number): void {
    if (this.#sockets.delete(id)) this.#transact((nowMs) => this.#core.disconnected(id, nowMs));
  }

  /** The server posts a message. */
  announce(body: Uint8Array): void {
    this.#transact((nowMs) => this.#core.post(0, 0, body, nowMs));
  }

  /** Memory is lost, sockets are not. */
  hibernate(): void {
    this.#core = this.#makeCore();
    this.#transact((nowMs) => {
      const kept = [...this.#sockets].map(([id, { socket, snapshot }]) => ({
        id,
        identity: socket.identity,
        snapshot,
      }));
      this.#core.restore(kept, nowMs);
    });
  }

  /** Memory and sockets are lost; the storage is kept, or deleted with all that was in it. */
  crash(keepsStorage: boolean): void {
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    for (const { socket } of sockets) socket.closed();
    if (!keepsStorage) this.#chronicle = this.#incarnate();
    this.#core = this.#makeCore();
    this.#transact((nowMs) => this.#core.restore([], nowMs));
  }

  /** The next transaction is committed, but its outputs are lost. */
  crashInNextTurn(): void {
    this.#dies = true;
  }

  #makeCore(): RoomCore {
    return new RoomCore({ name: ROOM_NAME, storage: this.#chronicle.storage, limits: this.#limits });
  }

  #incarnate(): Chronicle {
    const entries: LogEntry[] = [];
    const epoch = this.chronicles.length + 1;
    const chronicle = { epoch, entries, storage: new MemoryRoomStorage(epoch, (entry) => entries.push(entry)) };
    this.chronicles.push(chronicle);
    return chronicle;
  }

  #transact(action: (nowMs: number) => void): void {
    const { nowMs } = this.#clock;
    action(nowMs);
    const outputs = this.#core.takeOutputs(nowMs);
    if (this.#dies) {
      this.#dies = false;
      this.crash(true);
      return;
    }
    for (const output of outputs) this.#execute(output);
    this.#wakeLater();
  }

  #execute(output: RoomOutput): void {
    if (output.kind === "presence") {
      this.presences.push(output);
      return;
    }
    const entry = this.#sockets.get(output.connection);
    if (entry === undefined) return;
    if (output.kind === "write") entry.socket.write(output.bytes);
    else if (output.kind === "snapshot") entry.snapshot = output.snapshot;
    else {
      this.#sockets.delete(output.connection);
      entry.socket.closed();
    }
  }

  #wakeLater(): void {
    const due = Math.min(this.#core.deadlineMs ?? Infinity, this.#core.alarmMs ?? Infinity);
    if (due >= this.#wakeMs && this.#wakeMs > this.#clock.nowMs) return;
    this.#wakeMs = due;
    if (due === Number.POSITIVE_INFINITY) return;
    this.#clock.at(due, () => {
      if (this.#wakeMs !== due) return;
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.#transact((nowMs) => this.#core.tick(nowMs));
    });
  }
}
