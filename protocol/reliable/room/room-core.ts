import { ClosedCode } from "../../closed-codes.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder, ProtocolError } from "../../packet-framing.ts";
import { decodePlayerPacket, type Join, type Publish } from "../../player-packets.ts";
import { JoinHandler } from "./join-handler.ts";
import {
  type ConnectionSnapshot,
  type RoomConnection,
  RoomConnections,
  type RoomIdentity,
  type RoomOutput,
} from "./room-connections.ts";
import { RoomDelivery } from "./room-delivery.ts";
import { RoomIntake } from "./room-intake.ts";
import { DEFAULT_ROOM_LIMITS, type RoomLimits } from "./room-limits.ts";
import type { LogEntry, RoomStorage, Seat } from "./room-log.ts";
import { RoomSeats } from "./room-seats.ts";

export interface RoomConfig {
  readonly name: string;
  readonly storage: RoomStorage;
  readonly limits?: Partial<RoomLimits>;
  /**
   * What a room does with a member's message: by default it posts it to whom it is for. It runs in the same turn in which
   * the message becomes durable.
   */
  readonly onReceive?: (room: RoomCore, from: Seat, message: Publish, nowMs: number) => void;
  /** When the driver last answered a ping of this connection itself, epoch ms; 0 if never. */
  readonly pingedMs?: (connection: number) => number;
}

/**
 * The room's side of a reliable session, without I/O: connections and packets come in with `nowMs`, what is to be done
 * goes out through {@link RoomCore.takeOutputs}. All that must not be lost is in the storage before its Ack is among the
 * outputs; the rest is rebuilt by {@link RoomCore.restore}. Times are epoch ms: they outlive the process.
 */
export class RoomCore {
  readonly #onReceive: NonNullable<RoomConfig["onReceive"]>;
  readonly #storage: RoomStorage;
  readonly #limits: RoomLimits;
  readonly #seats: RoomSeats;
  readonly #connections: RoomConnections;
  readonly #delivery: RoomDelivery;
  readonly #seating: JoinHandler;
  readonly #intake: RoomIntake;

  constructor(config: RoomConfig) {
    this.#onReceive = config.onReceive ?? postMessage;
    this.#storage = config.storage;
    this.#limits = { ...DEFAULT_ROOM_LIMITS, ...config.limits };
    this.#seats = new RoomSeats(config.storage, this.#limits.retentionSeconds * 1000, (seat, state, nowMs) => {
      const { member, user } = seat;
      this.#connections.presence(member, state, user);
      this.#append({ kind: "presence", offset: this.#storage.head + 1, member, state, user, atMs: nowMs });
    });
    this.#delivery = new RoomDelivery(config.storage, this.#seats, this.#limits);
    this.#connections = new RoomConnections(this.#limits, this.#delivery, config.pingedMs ?? (() => 0));
    this.#seating = new JoinHandler(config, this.#limits, this.#seats, this.#connections, this.#delivery);
    this.#intake = new RoomIntake({
      limits: this.#limits,
      storage: this.#storage,
      memberCount: () => this.#seats.count,
      accept: (connection, publish, nowMs) => this.#accept(connection, publish, nowMs),
    });
  }

  get members(): readonly Seat[] {
    return this.#seats.all();
  }

  /** Whether a session has a seat. */
  isIn(session: string): boolean {
    return this.#seats.ofSession(session) !== undefined;
  }

  /** When {@link tick} must be called although the room has slept: the first held seat's end, or an Ack that is missing. */
  get alarmMs(): number | undefined {
    const { deadlineMs = Number.POSITIVE_INFINITY } = this.#seats;
    const { stallDeadlineMs = Number.POSITIVE_INFINITY } = this.#connections;
    const earliest = Math.min(deadlineMs, stallDeadlineMs);
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  /** When {@link tick} must be called while the room is awake: an Ack, what waits, or a Join that does not come. */
  get deadlineMs(): number | undefined {
    return this.#connections.deadlineMs;
  }

  /** Takes back the connections that outlived the room's memory; seats whose connection did not are held from now on. */
  restore(
    connections: Iterable<{ id: number; identity: RoomIdentity; snapshot: ConnectionSnapshot | undefined }>,
    nowMs: number,
  ): void {
    for (const { id, identity, snapshot } of connections) {
      const connection = this.#connections.add(id, identity, nowMs);
      if (snapshot !== undefined) this.#seating.restore(connection, snapshot, nowMs);
    }
    for (const { member } of this.members) {
      if (this.#connections.ofMember(member) === undefined) this.#seats.hold(member, undefined, nowMs);
    }
    this.#seats.expire(nowMs);
  }

  /** A connection, authenticated by its upgrade. `id` is any number that no other connection of this room has. */
  connected(id: number, identity: RoomIdentity, nowMs: number): void {
    const newest = this.#connections.add(id, identity, nowMs);
    const oldest = this.#connections.beyondUnjoined(newest);
    if (oldest !== undefined) this.#close(oldest, ClosedCode.Unavailable, "too many connections without a Join", nowMs);
  }

  /** A binary message came in: one or more whole packets. Messages of connections that do not count are ignored. */
  received(id: number, message: Uint8Array, nowMs: number): void {
    const connection = this.#connections.find(id);
    if (connection === undefined) return;
    if (message.byteLength === 0) {
      this.#close(connection, ClosedCode.ProtocolError, "message: it holds no packet", nowMs);
      return;
    }
    connection.heard(nowMs);
    this.#seats.expire(nowMs);
    const decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
    try {
      decoder.push(message, (packet) => {
        // A packet may have ended the connection.
        if (this.#connections.find(id) === connection) this.#takePacket(connection, packet, nowMs);
      });
      if (decoder.heldBytes > 0) throw new ProtocolError("payload_too_short", "message: it ends inside a packet");
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (this.#connections.find(id) !== connection) return;
      this.#close(connection, ClosedCode.ProtocolError, error.message, nowMs);
    }
  }

  /** The connection ended. Its seat is held. */
  disconnected(id: number, nowMs: number): void {
    const connection = this.#connections.find(id);
    if (connection === undefined) return;
    this.#connections.delete(connection);
    if (connection.member === undefined) return;
    if (connection.leaves) this.#seats.remove(connection.member, nowMs);
    else this.#seats.hold(connection.member, connection.ackedByPlayer, nowMs);
  }

  /** Time has passed. */
  tick(nowMs: number): void {
    this.#seats.expire(nowMs);
    for (const connection of this.#connections.withoutJoin(nowMs)) {
      // A bad path is no broken contract: whoever it was may try again.
      this.#close(connection, ClosedCode.TooSlow, "join: it did not come in time", nowMs);
    }
    for (const connection of this.#connections.stalled(nowMs)) {
      this.#close(connection, ClosedCode.TooSlow, "what was delivered is not acknowledged", nowMs);
    }
    for (const connection of this.#connections.all()) {
      this.#intake.drain(connection, nowMs);
      if (connection.leaves && connection.held.length === 0) this.#leave(connection, nowMs);
    }
  }

  /** Adds a reliable message to the log, from a member or from the server (0), and returns its offset. */
  post(from: number, to: number, body: Uint8Array, nowMs: number): number {
    const offset = this.#storage.head + 1;
    this.#append({ kind: "message", offset, from, to, body, atMs: nowMs });
    return offset;
  }

  /** Ends a member's seat now, whoever wants it: itself, a service, or its session's end. */
  remove(member: number, code: ClosedCode, message: string, nowMs: number): void {
    const connection = this.#connections.ofMember(member);
    if (connection !== undefined) this.#connections.end(connection, code, message);
    this.#seats.remove(member, nowMs);
  }

  /** Closes a connection; its seat, if it has one, is held. */
  close(id: number, code: ClosedCode, message: string, nowMs: number): void {
    const connection = this.#connections.find(id);
    if (connection !== undefined) this.#close(connection, code, message, nowMs);
  }

  /** Closes every connection and holds the seats: the room goes away for now. */
  closeAll(code: ClosedCode, message: string, nowMs: number): void {
    for (const connection of this.#connections.all()) this.#close(connection, code, message, nowMs);
  }

  /** What is to be done, in order. What one turn has for one connection comes as one message. */
  takeOutputs(nowMs: number): RoomOutput[] {
    this.#storage.trim(this.#limits.log, nowMs, () => ({
      connected: this.#delivery.neededByConnected(this.#connections.joined()),
      held: this.#seats.neededOffset,
    }));
    return this.#connections.takeOutputs(nowMs);
  }

  #takePacket(connection: RoomConnection, bytes: Uint8Array, nowMs: number): void {
    if (connection.budget?.takePacket(this.#limits.sender, nowMs) === false) {
      this.#close(connection, ClosedCode.TooFast, "more packets are sent than may be", nowMs);
      return;
    }
    const packet = decodePlayerPacket(bytes);
    if (packet.kind === "join") {
      this.#join(connection, packet, nowMs);
      return;
    }
    const seat = this.#seats.ofMember(connection.member ?? 0);
    if (seat === undefined) throw new ProtocolError("unexpected_packet", `${packet.kind} before join`);
    switch (packet.kind) {
      case "publish":
        this.#publish(connection, seat, packet, nowMs);
        break;
      case "ack":
        if (packet.position > this.#storage.head) throw new ProtocolError("out_of_range", "ack: above the log's end");
        this.#delivery.acknowledge(connection, seat.member, packet.position, nowMs);
        break;
      case "datagram":
        this.#connections.relay(connection, packet.body, nowMs);
        break;
      case "ping":
        connection.unansweredPing = packet.nonce;
        break;
      case "leave":
        connection.leaves = true;
        if (connection.held.length === 0) this.#leave(connection, nowMs);
        break;
      default:
        throw new ProtocolError("unexpected_packet", `${packet.kind} from a player`);
    }
  }

  #publish(connection: RoomConnection, seat: Seat, publish: Publish, nowMs: number): void {
    if (connection.leaves) throw new ProtocolError("unexpected_packet", "publish: after leave");
    const last = seat.received + connection.held.length;
    if (publish.seq <= last) {
      connection.acks.ackNow(nowMs);
      return;
    }
    if (publish.seq > last + 1) throw new ProtocolError("unexpected_packet", "seq: messages before it miss");
    if (this.#intake.publish(connection, publish, nowMs)) return;
    this.#close(connection, ClosedCode.TooFast, "more is sent than may be on its way", nowMs);
  }

  /** Takes a message in that its sender's budget allows; false if that has no seat any more. */
  #accept(connection: RoomConnection, publish: Publish, nowMs: number): boolean {
    const seat = this.#seats.ofMember(connection.member ?? 0);
    if (seat === undefined || this.#connections.find(connection.id) !== connection) return false;
    this.#seats.receive(seat, publish.seq);
    connection.acks.onReceived(publish.body.byteLength, nowMs);
    this.#onReceive(this, seat, publish, nowMs);
    return true;
  }

  #leave(connection: RoomConnection, nowMs: number): void {
    const { member } = connection;
    if (member === undefined || this.#connections.find(connection.id) !== connection) return;
    this.#delivery.confirm(connection, member);
    this.remove(member, ClosedCode.Left, "left", nowMs);
  }

  #join(connection: RoomConnection, join: Join, nowMs: number): void {
    if (connection.member !== undefined) throw new ProtocolError("unexpected_packet", "join: twice");
    const verdict = this.#seating.join(connection, join, nowMs);
    if (verdict.kind === "refused") this.#close(connection, verdict.code, verdict.message, nowMs);
  }

  #append(entry: LogEntry): void {
    this.#storage.append(entry);
    this.#delivery.broadcast(entry, this.#connections.joined());
  }

  /** Ends a connection; its seat, if it has one, is held. */
  #close(connection: RoomConnection, code: ClosedCode, message: string, nowMs: number): void {
    this.#connections.end(connection, code, message);
    if (connection.member !== undefined) this.#seats.hold(connection.member, connection.ackedByPlayer, nowMs);
  }
}

function postMessage(room: RoomCore, { member }: Seat, { to, body }: Publish, nowMs: number): void {
  room.post(member, to, body, nowMs);
}
