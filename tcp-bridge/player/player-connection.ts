import { ClosedCode, closedCodeOfWebSocket } from "../../protocol/closed-codes.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES, ProtocolError, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  type Join,
  PLAYER_PACKET_TYPES,
  type RoomToPlayer,
  writePlayerPacket,
} from "../../protocol/player-packets.ts";
import type { AddressBook } from "../core/admission.ts";
import { Connection, type ConnectionContext, PacketReceiver } from "../core/connection.ts";
import type { DisconnectCode } from "../core/connection-limits.ts";
import { type EdgeFailure, edgeFailure } from "../edge/edge-client.ts";
import type { PlayerAddress, PlayerPortLimits } from "./player-limits.ts";
import {
  type RoomSocket,
  type RoomSocketEnd,
  type RoomSocketEvents,
  type RoomSockets,
  readRoomMessage,
} from "./room-socket.ts";

/** What all connections of the player port share. */
export interface PlayerConnectionOptions {
  readonly limits: PlayerPortLimits;
  readonly roomSockets: RoomSockets;
  readonly addresses: AddressBook<PlayerAddress>;
  /** The connections whose Join is queued. */
  readonly queued: Set<PlayerConnection>;
  readonly metrics: PlayerConnectionMetrics;
  readonly failureLog: { log(failure: EdgeFailure): void };
}

/** The outcome of a Join; a number is the code of Closed. */
export type JoinOutcome = "joined" | "resumed" | number;

/** Counts what the connections do. */
export interface PlayerConnectionMetrics {
  joinDone(outcome: JoinOutcome): void;
  /** A limit refused a Join. */
  refused(code: "failed_joins"): void;
  relayed(direction: "to_room" | "to_player", packets: number, bytes: number): void;
  closedSent(code: number, by: "bridge" | "room"): void;
}

/** A message whose last packet is Closed. */
interface LastMessage {
  readonly bytes: Uint8Array;
  readonly code: number;
  readonly by: "bridge" | "room";
}

/** A Join that is queued, and what the player sent after it. */
interface QueuedJoin {
  readonly join: Join;
  readonly runs: Uint8Array[];
  readonly sinceMs: number;
}

/** A client sends a Ping every few seconds; each costs the bridge time. */
const MAX_PINGS_PER_SECOND = 1_000;

/**
 * The connection of a player. It relays whole packets to the room, and the room's messages to the player. It keeps no state of the
 * player's session, so a player may lose it at any time and resume through any bridge.
 *
 * | phase     | next, and when |
 * | --------- | -------------- |
 * | connected | `queued`: a Join was received |
 * | queued    | `requested`: at once, or when fewer Joins of a suspect address are in flight |
 * | requested | `joined`: the room responded to the Join |
 * | delayed   | `closed`: the delay for a failed Join of a suspect address is over |
 * | all       | `delayed` or `closed`: Closed is to be sent later, or was sent |
 */
export class PlayerConnection extends Connection {
  readonly #options: PlayerConnectionOptions;
  readonly #receiver: PacketReceiver;
  readonly #startedMs = performance.now();
  readonly #addressRecord: PlayerAddress;
  #phase: "connected" | "queued" | "requested" | "joined" | "delayed" | "closed" = "connected";
  #roomSocket: RoomSocket | undefined;
  #queuedJoin: QueuedJoin | undefined;
  #requestedMs = 0;
  /** Whether the address counts the Join as in flight. */
  #joinInFlight = false;
  /** The message of the phase `delayed`, and when it is sent. */
  #delayed: LastMessage | undefined;
  #delayedUntilMs = 0;
  /** The player has closed its side of the connection. */
  #receiveEnded = false;
  #heardMs = this.#startedMs;
  #pings = 0;
  #pingsSinceMs = 0;

  constructor(context: ConnectionContext, options: PlayerConnectionOptions) {
    super(context);
    this.#options = options;
    this.#receiver = new PacketReceiver(MAX_PLAYER_PACKET_BYTES, options.limits.packetTimeoutMs);
    this.#addressRecord = options.addresses.of(context.address, this.#startedMs);
    this.#addressRecord.connected();
  }

  protected onReceive(chunk: Uint8Array, nowMs: number): void {
    if (this.#isClosing) return;
    this.#heardMs = nowMs;
    const error = this.#receiver.receive(chunk, nowMs, (run) => {
      if (!this.#isClosing) this.#receiveRun(run);
    });
    if (error !== undefined) this.#close(ClosedCode.ProtocolError, error.message);
    this.#applyBackpressure();
  }

  protected override onReceiveEnd(): void {
    // The last packets still reach the room, and the room's responses still reach the player.
    this.#receiveEnded = true;
    if (this.#roomSocket === undefined || this.#isClosing) this.end();
    else this.#roomSocket.close();
  }

  protected override onSent(): void {
    this.#roomSocket?.resume();
  }

  protected override onWriteStall(): void {
    this.#close(ClosedCode.TooSlow, "what was sent is not read");
  }

  protected override onSweep(nowMs: number): void {
    const { joinMs, idleMs, edgeDeadlineMs } = this.#options.limits;
    if (this.#delayed !== undefined) {
      if (nowMs >= this.#delayedUntilMs) this.#finish(this.#delayed);
      return;
    }
    if (this.#queuedJoin !== undefined && nowMs - this.#queuedJoin.sinceMs > edgeDeadlineMs) {
      this.#options.metrics.refused("failed_joins");
      this.#close(ClosedCode.Unavailable, "too many joins of this address are under way, try again soon");
      return;
    }
    if (!this.writable) this.#roomSocket?.postponePong(nowMs);
    // While nothing is read from the player, what it sends waits in the network.
    if (!this.reading) this.#heardMs = nowMs;
    const packetOverdue = this.#receiver.isOverdue(nowMs, this.reading);
    if (this.#phase === "connected" && nowMs - this.#startedMs > joinMs) {
      // TooSlow and not ProtocolError: the network may be slow, so the client may try again.
      this.#close(ClosedCode.TooSlow, "join: it did not come in time");
    } else if (packetOverdue) {
      this.#close(ClosedCode.TooSlow, "the rest of a packet did not come in time");
    } else if (this.#roomSocket?.isOverdue(nowMs) === true) {
      this.#edgeFailed(edgeFailure("edge_timeout", "a player's room or ping"), "the edge does not answer in time");
    } else if (nowMs - this.#heardMs > idleMs) {
      this.disconnect("idle");
    }
  }

  drain(): void {
    if (this.#delayed !== undefined) this.#finish(this.#delayed);
    else this.#close(ClosedCode.GoingAway, "this bridge stops");
  }

  protected override onDisconnected(_code: DisconnectCode): void {
    this.#countAbandonedJoin(performance.now());
    this.#phase = "closed";
    this.#dequeue();
    this.#addressRecord.disconnected();
    // If there is a WebSocket, the Join is in flight until it is closed.
    if (this.#roomSocket === undefined) this.#joinEnded();
    else this.#roomSocket.close();
  }

  /** Whether Closed was sent or will be: nothing more is received from the player. */
  get #isClosing(): boolean {
    return this.#phase === "closed" || this.#phase === "delayed";
  }

  /** Relays whole packets to the room, except Pings: the bridge responds to them itself. */
  #receiveRun(run: Uint8Array): void {
    let start = 0;
    let packets = 0;
    for (let at = 0; at < run.byteLength; ) {
      const end = at + packetSizeAt(run, at);
      if (this.#phase === "connected") this.#receiveJoin(run.subarray(at, end));
      if (this.#isClosing) return;
      if (packetType(run, at) === PLAYER_PACKET_TYPES.ping) {
        this.#relayToRoom(run.subarray(start, at), packets);
        this.#receivePing(run.subarray(at, end));
        start = end;
        packets = 0;
      } else {
        packets += 1;
      }
      at = end;
    }
    this.#relayToRoom(run.subarray(start), packets);
  }

  #relayToRoom(bytes: Uint8Array, packets: number): void {
    if (packets === 0) return;
    if (this.#queuedJoin !== undefined) this.#queuedJoin.runs.push(bytes);
    else this.#roomSocket?.write(bytes);
    this.#options.metrics.relayed("to_room", packets, bytes.byteLength);
  }

  #receivePing(packet: Uint8Array): void {
    const nowMs = performance.now();
    if (nowMs - this.#pingsSinceMs >= 1_000) {
      this.#pingsSinceMs = nowMs;
      this.#pings = 0;
    }
    this.#pings += 1;
    if (this.#pings > MAX_PINGS_PER_SECOND) {
      this.#close(ClosedCode.TooFast, "more pings are sent than may be");
      return;
    }
    const ping = decodePlayerPacket(packet);
    // While the Join is queued there is no WebSocket to test.
    if (ping.kind === "ping") this.#roomSocket?.ping(nowMs, ping.nonce);
  }

  #receiveJoin(packet: Uint8Array): void {
    const join = decodePlayerPacket(packet);
    if (join.kind !== "join") throw new ProtocolError("unexpected_packet", `${join.kind} before join`);
    const nowMs = performance.now();
    this.#phase = "queued";
    this.#queuedJoin = { join, runs: [], sinceMs: nowMs };
    this.#addressRecord.join(this.#requestJoin, nowMs);
    if (this.#queuedJoin === undefined) return;
    // Packets that were received with the Join are kept, later ones stay in the network.
    this.#options.queued.add(this);
    this.pauseReading();
  }

  /** Opens the WebSocket to the room and sends the Join. */
  readonly #requestJoin = (): void =>
    this.guard(() => {
      const queued = this.#dequeue();
      if (queued === undefined) return;
      this.#phase = "requested";
      this.#joinInFlight = true;
      this.#requestedMs = performance.now();
      this.#roomSocket = this.#options.roomSockets.open(queued.join, this.#roomSocketEvents);
      for (const run of queued.runs) this.#roomSocket.write(run);
      this.resumeReading();
    });

  #dequeue(): QueuedJoin | undefined {
    const queued = this.#queuedJoin;
    this.#queuedJoin = undefined;
    this.#options.queued.delete(this);
    this.#addressRecord.giveUp(this.#requestJoin);
    return queued;
  }

  /** The edge responded to the Join, or will not. */
  #joinEnded(): void {
    if (!this.#joinInFlight) return;
    this.#joinInFlight = false;
    this.#addressRecord.joinEnded(performance.now());
  }

  readonly #roomSocketEvents: RoomSocketEvents = {
    received: (message) => this.guard(() => this.#relayToPlayer(message)),
    pong: (nonces) => this.guard(() => this.#sendPongs(nonces)),
    written: () => this.guard(() => this.#applyBackpressure()),
    closed: (end) => this.guard(() => this.#roomSocketClosed(end)),
  };

  #relayToPlayer(message: Uint8Array): void {
    if (this.#isClosing) return;
    const read = readRoomMessage(message);
    if (read === undefined) {
      this.#edgeFailed(edgeFailure("edge_bad_response", "a message that is not whole packets"), "the edge is broken");
      return;
    }
    const { packets, joined, closedCode } = read;
    const outcome = joined ?? closedCode;
    const isDelayed = this.#phase === "requested" && outcome !== undefined && this.#joinDone(outcome);
    this.#options.metrics.relayed("to_player", packets, message.byteLength);
    if (closedCode !== undefined) {
      this.#sendLast({ bytes: message, code: closedCode, by: "room" }, isDelayed);
      return;
    }
    this.send(message);
    if (!this.writable) this.#roomSocket?.pause();
  }

  #sendPongs(nonces: readonly number[]): void {
    if (nonces.length > 0) this.send(bridgePackets(nonces.map((nonce) => ({ kind: "pong", nonce }))));
  }

  #roomSocketClosed(end: RoomSocketEnd): void {
    this.#joinEnded();
    if (this.#isClosing) return;
    if (this.#receiveEnded) this.end();
    else if (end.kind === "failed") this.#edgeFailed(end, "the edge cannot be reached");
    else this.#close(closedCodeOfWebSocket(end.closeCode) ?? ClosedCode.GoingAway, end.reason);
  }

  #edgeFailed(failure: EdgeFailure, message: string): void {
    this.#options.failureLog.log(failure);
    this.#close(ClosedCode.Unavailable, message);
  }

  /** Ends the connection with a Closed of the bridge. */
  #close(code: number, message: string): void {
    if (this.#isClosing) return;
    const isDelayed = this.#phase !== "joined" && this.#joinDone(code);
    this.#sendLast({ bytes: bridgePackets([{ kind: "closed", code, message }]), code, by: "bridge" }, isDelayed);
  }

  #sendLast(last: LastMessage, isDelayed: boolean): void {
    if (isDelayed) {
      this.#phase = "delayed";
      this.#delayed = last;
      this.#delayedUntilMs = performance.now() + this.#options.limits.failedJoinDelayMs;
    } else {
      this.#finish(last);
    }
    this.#roomSocket?.close();
  }

  #finish({ bytes, code, by }: LastMessage): void {
    this.#phase = "closed";
    this.#delayed = undefined;
    this.send(bytes);
    this.#options.metrics.closedSent(code, by);
    this.end();
  }

  /** The outcome of the Join is known. Returns whether Closed is sent later: the Join failed, and the address is suspect. */
  #joinDone(outcome: JoinOutcome): boolean {
    const nowMs = performance.now();
    this.#dequeue();
    this.#roomSocket?.joinDone();
    this.#joinEnded();
    this.#options.metrics.joinDone(outcome);
    if (typeof outcome === "string") this.prove();
    if (this.#phase === "requested") this.#phase = "joined";
    if (outcome !== ClosedCode.SessionInvalid && outcome !== ClosedCode.ProtocolError) return false;
    const isDelayed = this.#addressRecord.isSuspect(nowMs);
    this.#addressRecord.failed(nowMs);
    return isDelayed;
  }

  /**
   * A Join whose player leaves before the response counts as failed too, otherwise players could avoid the limit by leaving. After
   * half of the edge's deadline it does not count: when the edge is slow, honest players give up and reconnect, and must not make
   * their address suspect.
   */
  #countAbandonedJoin(nowMs: number): void {
    const waitedMs = nowMs - this.#requestedMs;
    if (this.#phase !== "requested" || waitedMs > this.#options.limits.edgeDeadlineMs / 2) return;
    this.#addressRecord.failed(nowMs);
  }

  #applyBackpressure(): void {
    const roomSocket = this.#roomSocket;
    if (roomSocket === undefined) return;
    const { maxEdgeBytes } = this.#options.limits;
    const { bufferedBytes } = roomSocket;
    if (bufferedBytes > maxEdgeBytes) {
      this.pauseReading();
      // The player's own Pings are not read now.
      roomSocket.ping(performance.now());
    } else if (bufferedBytes <= maxEdgeBytes / 2) {
      this.resumeReading();
    }
  }
}

/** The packets that the bridge itself sends to a player: Closed and Pongs. */
function bridgePackets(packets: readonly RoomToPlayer[]): Uint8Array {
  const writer = new ByteWriter();
  for (const packet of packets) writePlayerPacket(writer, packet);
  return writer.finish();
}
