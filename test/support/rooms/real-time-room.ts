import type { ClosedCode } from "../../../protocol/closed-codes.ts";
import type { RoomOutput } from "../../../protocol/reliable/room/room-connections.ts";
import { RoomCore } from "../../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../../protocol/reliable/room/room-limits.ts";
import { MemoryRoomStorage } from "./memory-room-storage.ts";

/** The far end of a room's connection. */
export interface RoomSocket {
  send(bytes: Uint8Array): void;
  close(code: ClosedCode, message: string): void;
}

/** Drives a room core on the real clock, for players on real sockets. */
export class RealTimeRoom {
  readonly storage = new MemoryRoomStorage(1);
  readonly #core: RoomCore;
  readonly #sockets = new Map<number, RoomSocket>();
  #nextId = 1;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(name: string, limits: Partial<RoomLimits>) {
    this.#core = new RoomCore({ name, storage: this.storage, limits });
  }

  get users(): string[] {
    return this.#core.members.map(({ user }) => user);
  }

  /** The users whose seat is held. */
  get heldUsers(): string[] {
    return this.#core.members.filter(({ heldSinceMs }) => heldSinceMs !== null).map(({ user }) => user);
  }

  get connections(): number {
    return this.#sockets.size;
  }

  connect(user: string, socket: RoomSocket): number {
    const id = this.#nextId++;
    this.#sockets.set(id, socket);
    const identity = { session: user, user, acceptsToken: () => true };
    this.#transact((nowMs) => this.#core.connected(id, identity, nowMs));
    return id;
  }

  receive(id: number, message: Uint8Array): void {
    if (this.#sockets.has(id)) this.#transact((nowMs) => this.#core.received(id, message, nowMs));
  }

  disconnect(id: number): void {
    if (this.#sockets.delete(id)) this.#transact((nowMs) => this.#core.disconnected(id, nowMs));
  }

  /** The server posts a message. */
  announce(text: string): void {
    this.#transact((nowMs) => this.#core.post(0, 0, Buffer.from(text), nowMs));
  }

  /** Removes a user's seat. */
  removeMember(user: string, code: ClosedCode): void {
    const seat = this.#core.members.find((member) => member.user === user);
    this.#transact((nowMs) => this.#core.remove(seat?.member ?? 0, code, "removed by the test", nowMs));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #transact(action: (nowMs: number) => void): void {
    if (this.#closed) return;
    action(Date.now());
    for (const output of this.#core.takeOutputs(Date.now())) this.#execute(output);
    clearTimeout(this.#timer);
    const due = Math.min(this.#core.deadlineMs ?? Infinity, this.#core.alarmMs ?? Infinity);
    if (due === Infinity) return;
    this.#timer = setTimeout(() => this.#transact((nowMs) => this.#core.tick(nowMs)), Math.max(0, due - Date.now()));
  }

  #execute(output: RoomOutput): void {
    if (output.kind === "write") this.#sockets.get(output.connection)?.send(output.bytes);
    if (output.kind !== "close") return;
    this.#sockets.get(output.connection)?.close(output.code as ClosedCode, output.message);
    this.#sockets.delete(output.connection);
  }
}
