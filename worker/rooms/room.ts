import { DurableObject } from "cloudflare:workers";
import { ClosedCode } from "../../protocol/closed-codes.ts";
import { MAX_BODY_BYTES } from "../../protocol/player-packets.ts";
import type { RoomCore } from "../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../protocol/reliable/room/room-limits.ts";
import type { DoubtfulSessions, WatchedRoom } from "../events/watched-rooms.ts";
import { type IsolateBindings, openEventHub, openIsolate } from "../isolate.ts";
import { readAdmitted, refusal, refuseUpgrade, roomIdentity } from "./room-admission.ts";
import { RoomRuntime } from "./room-runtime.ts";
import type { RoomHooks, RoomMember, RoomMessage } from "./room-transaction.ts";
import type { SessionRooms } from "./session-rooms.ts";
import { SqliteRoomStorage } from "./sqlite-room-storage.ts";

export type { RoomMember, RoomMessage };

/** The worker's bindings that a room uses. */
export interface RoomBindings extends IsolateBindings {
  readonly SESSION_ROOMS: DurableObjectNamespace<SessionRooms>;
}

/** What `GET /v1/rooms/{room}` shows. */
export interface RoomState {
  /** The incarnation of the log, 0 while nothing of the room is kept. */
  readonly epoch: number;
  /** The highest offset of the log. */
  readonly offset: number;
  readonly members: readonly RoomMember[];
}

const NO_ROOM: RoomState = { epoch: 0, offset: 0, members: [] };

/**
 * A room: the log, the seats and the connections of its players (docs/rooms.md). Content code extends it and overrides the four
 * `on...` methods; `members`, `post` and `remove` are what it acts with. The room may lose
 * its memory between any two transactions, so content code keeps what it needs in `this.ctx.storage`.
 */
export abstract class Room extends DurableObject<RoomBindings> implements WatchedRoom {
  /** The clock, epoch ms. */
  nowMs: () => number = Date.now;
  #runtime: RoomRuntime | undefined;

  constructor(ctx: DurableObjectState, env: RoomBindings) {
    super(ctx, env);
    // The runtime responds to these pings, so that a heartbeat does not wake the room.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  /** A member joined, or resumed after a lost connection. */
  protected onConnected(_member: RoomMember, _how: "joined" | "resumed"): void {}

  /** A member's connection is lost and its seat is held, or the member has left. */
  protected onDisconnected(_member: RoomMember, _how: "held" | "left"): void {}

  /** A member's message arrived: each once, in the order in which it was sent. */
  protected onReceive(_from: RoomMember, _message: RoomMessage): void {}

  /** A member has acked what it was sent, up to this offset. */
  protected onSent(_to: RoomMember, _offset: number): void {}

  /** The members: everyone who has a seat. */
  protected get members(): readonly RoomMember[] {
    return this.#stored()?.members ?? [];
  }

  /**
   * Sends a reliable message; `from` 0 is the room itself, `to` 0 is everybody. Returns its offset, 0 if the room has no log yet.
   *
   * @throws RangeError `body` has more than MAX_BODY_BYTES: each connection that got it from the log would have to be closed
   */
  protected post(from: number, to: number, body: Uint8Array): number {
    if (body.byteLength > MAX_BODY_BYTES) {
      throw new RangeError(`body: ${body.byteLength} bytes, allowed are ${MAX_BODY_BYTES}`);
    }
    return this.#stored()?.transact((core, nowMs) => core.post(from, to, body, nowMs)) ?? 0;
  }

  /** Removes a member: its client gets Closed(Left) and does not return. Returns whether there was such a member. */
  protected remove(member: number): boolean {
    const removed = this.#stored()?.transact((core, nowMs) => {
      if (!hasMember(core, member)) return false;
      core.remove(member, ClosedCode.Left, "removed from the room", nowMs);
      return true;
    });
    return removed ?? false;
  }

  /** An upgrade that the worker has admitted. */
  override async fetch(request: Request): Promise<Response> {
    const { room, credential } = readAdmitted(request);
    const { session } = roomIdentity(credential);
    if (!this.isIn(session)) {
      const { maxRoomsPerSession } = openIsolate(this.env).config;
      const enters = await this.env.SESSION_ROOMS.getByName(session).enter(session, room, maxRoomsPerSession);
      if (!enters)
        return refuseUpgrade(refusal(ClosedCode.RoomFull, "the session is in all the rooms that it may be in"));
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.#storedOrNew(room).connect(server, credential);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(socket: WebSocket, message: ArrayBuffer | string): Promise<void> | undefined {
    return this.#stored()?.receive(socket, message);
  }

  override webSocketClose(socket: WebSocket): Promise<void> | undefined {
    return this.#stored()?.disconnect(socket);
  }

  override webSocketError(socket: WebSocket): Promise<void> | undefined {
    return this.#stored()?.disconnect(socket);
  }

  override async alarm(): Promise<void> {
    await this.#stored()?.alarm();
    if (this.#stored()?.isAbandoned === true) await this.#delete();
  }

  /** Whether a session has a seat here. It begins no transaction: so many upgrades at once can share one. */
  isIn(session: string): boolean {
    return this.#stored()?.isIn(session) ?? false;
  }

  /** For the event hub ({@link WatchedRoom}). */
  async recheck(sessions: DoubtfulSessions): Promise<boolean> {
    return (await this.#stored()?.recheck(sessions)) ?? false;
  }

  /** For a service: the state of the room. */
  inspect(): RoomState {
    const room = this.#stored();
    // The transaction first processes the inbox, with joins and leaves that have arrived.
    return (
      room?.transact(() => ({ epoch: room.storage.epoch, offset: room.storage.head, members: room.members })) ?? NO_ROOM
    );
  }

  /** For a service: posts a message from the server; returns its offset, undefined if there is no such member. */
  postAsServer(name: string, to: number, body: Uint8Array): number | undefined {
    if (to === 0) return this.#storedOrNew(name).transact((core, nowMs) => core.post(0, to, body, nowMs));
    return this.#stored()?.transact((core, nowMs) => (hasMember(core, to) ? core.post(0, to, body, nowMs) : undefined));
  }

  /** For a service: {@link Room.remove}. */
  removeMember(member: number): boolean {
    return this.remove(member);
  }

  #stored(): RoomRuntime | undefined {
    if (this.#runtime !== undefined) return this.#runtime;
    const storage = SqliteRoomStorage.find(this.ctx.storage);
    return storage && this.#wake(storage);
  }

  #storedOrNew(name: string): RoomRuntime {
    return this.#stored() ?? this.#wake(SqliteRoomStorage.create(this.ctx.storage, name, this.nowMs()));
  }

  #wake(storage: SqliteRoomStorage): RoomRuntime {
    const { config, store } = openIsolate(this.env);
    const hooks: RoomHooks = {
      onConnected: (member, how) => this.onConnected(member, how),
      onDisconnected: (member, how) => this.onDisconnected(member, how),
      onReceive: (from, message) => this.onReceive(from, message),
      onSent: (to, offset) => this.onSent(to, offset),
    };
    const limits: Partial<RoomLimits> = config.room;
    const eventHub = () => openEventHub(this.env);
    const nowMs = () => this.nowMs();
    this.#runtime = new RoomRuntime({ ctx: this.ctx, storage, limits, store, eventHub, hooks, nowMs });
    this.#runtime.restore();
    return this.#runtime;
  }

  /** Deletes the log of a room that was empty for long. The next player begins a new room, with a new epoch. */
  async #delete(): Promise<void> {
    this.#runtime = undefined;
    await this.ctx.blockConcurrencyWhile(() => this.ctx.storage.deleteAll());
  }
}

function hasMember(core: RoomCore, member: number): boolean {
  return core.members.some((seat) => seat.member === member);
}

/**
 * The built-in room. Every room already tells a new member who is there and what was said before, and tells the others who
 * joined, was disconnected, resumed or left. This one adds that it posts each message: to everybody, its sender included, or
 * to the member that it is for.
 *
 * A message to a member who has left is kept like any other, and its sender gets it back: the sender cannot know that the
 * member left before the message arrived.
 */
export class ChatRoom extends Room {
  protected override onReceive(from: RoomMember, { to, body }: RoomMessage): void {
    this.post(from.member, to, body);
  }
}
