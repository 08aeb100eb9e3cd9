import type { ConnectionSnapshot, RoomIdentity } from "../../protocol/reliable/room/room-connections.ts";
import { type RoomCredential, roomIdentity } from "./room-admission.ts";

/** The attachment of a socket, which outlives the room's memory. It stays far below the 16 KiB that an attachment may have. */
export interface RoomAttachment {
  readonly connection: number;
  readonly credential: RoomCredential;
  readonly snapshot?: ConnectionSnapshot;
  /** When a packet was last received from the player, epoch ms; pings, which the runtime handles, do not count. */
  readonly heardMs: number;
}

interface OpenSocket {
  readonly socket: WebSocket;
  attachment: RoomAttachment;
  heardMs: number;
}

/** The WebSockets of a room, by their connection numbers in the room's core. */
export class RoomSockets {
  readonly #ctx: DurableObjectState;
  readonly #byConnection = new Map<number, OpenSocket>();
  readonly #connections = new WeakMap<WebSocket, number>();
  #newest = 0;
  #sends = 0;

  /** Restores the sockets that outlived the room's memory. */
  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    for (const socket of ctx.getWebSockets()) {
      const attachment = socket.deserializeAttachment() as RoomAttachment | null;
      // A socket that the room has closed has no attachment any more.
      if (attachment !== null) this.#add(socket, attachment);
    }
  }

  get count(): number {
    return this.#byConnection.size;
  }

  /** How many messages were sent since the room woke. */
  get sends(): number {
    return this.#sends;
  }

  /** The connections, as RoomCore.restore needs them. */
  kept(): { id: number; identity: RoomIdentity; snapshot: ConnectionSnapshot | undefined }[] {
    return [...this.#byConnection.values()].map(({ attachment: { connection, credential, snapshot } }) => ({
      id: connection,
      identity: roomIdentity(credential),
      snapshot,
    }));
  }

  /** Accepts a socket and returns its connection number, which is higher than all before. */
  accept(socket: WebSocket, credential: RoomCredential, nowMs: number): number {
    this.#ctx.acceptWebSocket(socket);
    const attachment: RoomAttachment = { connection: this.#newest + 1, credential, heardMs: nowMs };
    this.#add(socket, attachment);
    socket.serializeAttachment(attachment);
    return attachment.connection;
  }

  /** A message arrived: returns the socket's connection number, undefined if it was closed. */
  heard(socket: WebSocket, nowMs: number): number | undefined {
    const connection = this.#connections.get(socket);
    const open = this.#byConnection.get(connection ?? 0);
    if (open !== undefined) open.heardMs = nowMs;
    return connection;
  }

  send(connection: number, bytes: Uint8Array): void {
    const open = this.#byConnection.get(connection);
    // A socket whose other end is gone cannot send; its close event follows.
    if (open?.socket.readyState !== WebSocket.OPEN) return;
    open.socket.send(bytes);
    this.#sends += 1;
  }

  /** Stores the snapshot of a connection in its attachment; returns the attachment before. */
  keep(connection: number, snapshot: ConnectionSnapshot): RoomAttachment | undefined {
    const open = this.#byConnection.get(connection);
    if (open === undefined) return undefined;
    const before = open.attachment;
    this.#attach(open, { ...open.attachment, snapshot, heardMs: open.heardMs });
    return before;
  }

  close(connection: number, closeCode: number, message: string): void {
    const open = this.#byConnection.get(connection);
    if (open === undefined) return;
    this.remove(open.socket);
    open.socket.serializeAttachment(null);
    open.socket.close(closeCode, message);
  }

  /** The socket has ended: returns its connection number, undefined if it was removed before. */
  remove(socket: WebSocket): number | undefined {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return undefined;
    this.#connections.delete(socket);
    this.#byConnection.delete(connection);
    return connection;
  }

  /** The connections from which neither a packet nor a ping was received since `sinceMs`. */
  silent(sinceMs: number): number[] {
    const silent: number[] = [];
    for (const [connection, open] of this.#byConnection) {
      if (Math.max(open.heardMs, this.pingedMs(connection)) < sinceMs) silent.push(connection);
      else if (open.heardMs > open.attachment.heardMs)
        this.#attach(open, { ...open.attachment, heardMs: open.heardMs });
    }
    return silent;
  }

  /** When the runtime last responded to a ping of this connection, epoch ms; 0 if never. */
  pingedMs(connection: number): number {
    const open = this.#byConnection.get(connection);
    return open === undefined ? 0 : (this.#ctx.getWebSocketAutoResponseTimestamp(open.socket)?.getTime() ?? 0);
  }

  #add(socket: WebSocket, attachment: RoomAttachment): void {
    const { connection, heardMs } = attachment;
    this.#byConnection.set(connection, { socket, attachment, heardMs });
    this.#connections.set(socket, connection);
    this.#newest = Math.max(this.#newest, connection);
  }

  #attach(open: OpenSocket, attachment: RoomAttachment): void {
    open.attachment = attachment;
    open.socket.serializeAttachment(attachment);
  }
}
