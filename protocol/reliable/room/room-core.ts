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
import type { LogEntry, LogStorage } from "./room-log.ts";
import { RoomSeats, type Seat, type SeatStorage } from "./room-seats.ts";

/** What a room keeps that must outlive its memory. */
export interface RoomStorage extends LogStorage, SeatStorage {}

export interface RoomConfig {
  readonly name: string;
  readonly storage: RoomStorage;
  readonly limits?: Partial<RoomLimits>;
  /**
   * What a room does with a member's message: by default it posts the message to its recipient. It runs in the transaction
   * in which the message becomes durable.
   */
  readonly onReceive?: (room: RoomCore, from: Seat, message: Publish, nowMs: number) => void;
  /** When the driver itself last responded to a ping of this connection, epoch ms; 0 if never. */
  readonly pingedMs?: (connection: number) => number;
}

/**
 * The room's side of a reliable session, without I/O: connections and packets come in with `nowMs`, the driver's work goes
 * out through {@link RoomCore.takeOutputs}. A driver calls the core in transactions: some calls, then `takeOutputs`, then the
 * storage commits, then the outputs leave. So what must not be lost is durable before its Ack leaves; the rest is rebuilt by
 * {@link RoomCore.restore}. Times are epoch ms, because they outlive the process.
 *
 * A Publish takes this way: `received` decodes it; {@link RoomIntake} checks the sender's budget; {@link RoomSeats} records
 * its seq; `post` appends it to the log; {@link RoomDelivery} encodes it once for all members; {@link RoomConnections} gives
 * each connection one write.
 */
export class RoomCore {
  readonly #onReceive: NonNullable<RoomConfig["onReceive"]>;
  readonly #storage: RoomStorage;
  readonly #limits: RoomLimits;
  readonly #seats: RoomSeats;
  readonly #connections: RoomConnections;
  readonly #delivery: RoomDelivery;
  readonly #joins: JoinHandler;
  readonly #intake: RoomIntake<RoomConnection>;

  constructor(config: RoomConfig) {
    this.#onReceive = config.onReceive ?? postMessage;
    const { name, storage, pingedMs = () => 0 } = config;
    const limits = { ...DEFAULT_ROOM_LIMITS, ...config.limits };
    this.#storage = storage;
    this.#limits = limits;
    this.#seats = new RoomSeats(storage, limits.retentionSeconds * 1000, (seat, state, nowMs) => {
      const { member, user } = seat;
      this.#connections.presence(member, state, user);
      this.#append({ kind: "presence", offset: this.#storage.head + 1, member, state, user, atMs: nowMs });
    });
    this.#delivery = new RoomDelivery(storage, this.#seats, limits);
    this.#connections = new RoomConnections(limits, this.#seats, pingedMs);
    this.#joins = new JoinHandler({
      room: name,
      log: storage,
      limits,
      seats: this.#seats,
      connections: this.#connections,
      delivery: this.#delivery,
    });
    this.#intake = new RoomIntake({
      limits,
      log: storage,
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

  /** The sessions that have a seat or a connection. */
  get sessions(): ReadonlySet<string> {
    const sessions = new Set(this.members.map(({ session }) => session));
    for (const { identity } of this.#connections.all()) sessions.add(identity.session);
    return sessions;
  }

  /** When {@link tick} must be called even if the room sleeps: a held seat expires, or a player's Ack is overdue. */
  get alarmMs(): number | undefined {
    const { deadlineMs = Number.POSITIVE_INFINITY } = this.#seats;
    const { stallDeadlineMs = Number.POSITIVE_INFINITY } = this.#connections;
    const earliest = Math.min(deadlineMs, stallDeadlineMs);
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  /** When {@link tick} must be called while the room is awake: an Ack is due, a message waits, or a Join is overdue. */
  get deadlineMs(): number | undefined {
    return this.#connections.deadlineMs;
  }

  /** Restores the connections that outlived the room's memory; the seats of all others are held from now on. */
  restore(
    connections: Iterable<{ id: number; identity: RoomIdentity; snapshot: ConnectionSnapshot | undefined }>,
    nowMs: number,
  ): void {
    for (const { id, identity, snapshot } of connections) {
      const connection = this.#connections.add(id, identity, nowMs);
      if (snapshot !== undefined) this.#joins.restore(connection, snapshot, nowMs);
    }
    for (const { member } of this.members) {
      if (this.#connections.ofMember(member) === undefined) this.#seats.hold(member, undefined, nowMs);
    }
    this.#seats.expire(nowMs);
  }

  /** A new connection, authenticated by its upgrade. `id` is any number that no other connection of this room has. */
  connected(id: number, identity: RoomIdentity, nowMs: number): void {
    const newest = this.#connections.add(id, identity, nowMs);
    const oldest = this.#connections.beyondUnjoined(newest);
    if (oldest !== undefined) this.#close(oldest, ClosedCode.Unavailable, "too many connections without a Join", nowMs);
  }

  /** A binary message arrived: one or more whole packets. Messages of a connection that was ended are ignored. */
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
    if (connection.leaving) this.#seats.remove(connection.member, nowMs);
    else this.#seats.hold(connection.member, connection.ackedByPlayer, nowMs);
  }

  /** Time has passed. */
  tick(nowMs: number): void {
    this.#seats.expire(nowMs);
    for (const connection of this.#connections.withoutJoin(nowMs)) {
      // A bad network breaks no protocol: the client may try again.
      this.#close(connection, ClosedCode.TooSlow, "join: it did not come in time", nowMs);
    }
    for (const connection of this.#connections.stalled(nowMs)) {
      this.#close(connection, ClosedCode.TooSlow, "what was delivered is not acknowledged", nowMs);
    }
    for (const connection of this.#connections.all()) {
      this.#intake.drain(connection, nowMs);
      if (connection.leaving && connection.held.length === 0) this.#leave(connection, nowMs);
    }
  }

  /** Appends a reliable message to the log, from a member or from the server (0), and returns its offset. */
  post(from: number, to: number, body: Uint8Array, nowMs: number): number {
    const offset = this.#storage.head + 1;
    this.#append({ kind: "message", offset, from, to, body, atMs: nowMs });
    return offset;
  }

  /** Ends a session here: removes its seat, and closes its connections that have none. */
  endSession(session: string, code: ClosedCode, message: string, nowMs: number): void {
    const seat = this.#seats.ofSession(session);
    if (seat !== undefined) this.remove(seat.member, code, message, nowMs);
    for (const connection of this.#connections.all()) {
      if (connection.identity.session === session) this.#connections.end(connection, code, message);
    }
  }

  /** Removes a member: it left, a service asked for it, or its session ended. */
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

  /** What the driver must do, in order. All packets for one connection are one message. */
  takeOutputs(nowMs: number): RoomOutput[] {
    this.#storage.trim(this.#limits.log, nowMs, () => ({
      connected: this.#connections.neededOffset,
      held: this.#seats.neededOffset,
    }));
    const outputs = this.#connections.takeOutputs(nowMs);
    this.#delivery.endTransaction();
    return outputs;
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
        this.#delivery.acked(connection, seat.member, packet.position, nowMs);
        break;
      case "datagram":
        this.#connections.relay(connection, packet.body, nowMs);
        break;
      case "ping":
        connection.pendingPing = packet.nonce;
        break;
      case "leave":
        connection.leaving = true;
        if (connection.held.length === 0) this.#leave(connection, nowMs);
        break;
      default:
        throw new ProtocolError("unexpected_packet", `${packet.kind} from a player`);
    }
  }

  #publish(connection: RoomConnection, seat: Seat, publish: Publish, nowMs: number): void {
    if (connection.leaving) throw new ProtocolError("unexpected_packet", "publish: after leave");
    const last = seat.received + connection.held.length;
    if (publish.seq <= last) {
      connection.acks.ackNow(nowMs);
      return;
    }
    if (publish.seq > last + 1) throw new ProtocolError("unexpected_packet", "seq: messages before it miss");
    if (this.#intake.publish(connection, publish, nowMs)) return;
    this.#close(connection, ClosedCode.TooFast, "more is sent than may be on its way", nowMs);
  }

  /** Accepts a message that its sender's budget allows; false if the connection has ended. */
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
    connection.ack(this.#seats.receivedOf(member));
    this.remove(member, ClosedCode.Left, "left", nowMs);
  }

  #join(connection: RoomConnection, join: Join, nowMs: number): void {
    if (connection.member !== undefined) throw new ProtocolError("unexpected_packet", "join: twice");
    const verdict = this.#joins.join(connection, join, nowMs);
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
