import { ClosedCode, closedCodeOfWebSocket } from "../../protocol/closed-codes.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import {
  MAX_PLAYER_PACKET_BYTES,
  PacketDecoder,
  ProtocolError,
  packetSizeAt,
  packetType,
} from "../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  type Join,
  PLAYER_PACKET_TYPES,
  writePlayerPacket,
} from "../../protocol/player-packets.ts";
import type { AddressBook } from "../core/address-book.ts";
import type { DisconnectCode } from "../core/connection-limits.ts";
import { Session, type SessionContext } from "../core/session.ts";
import { type EdgeFailure, edgeFailure } from "../edge/edge-client.ts";
import { EdgeQuestions } from "./edge-questions.ts";
import type { PlayerAddress, PlayerPortLimits } from "./player-limits.ts";
import {
  type RoomSocket,
  type RoomSocketEnd,
  type RoomSocketEvents,
  type RoomSockets,
  readRoomMessage,
} from "./room-socket.ts";

/** What all connections of the player port share. */
export interface PlayerSessionOptions {
  readonly limits: PlayerPortLimits;
  readonly roomSockets: RoomSockets;
  readonly addresses: AddressBook<PlayerAddress>;
  /** The sessions whose Join waits until others of its address are answered. */
  readonly waiting: Set<PlayerSession>;
  readonly observer: PlayerObserver;
}

/** What a player is told last. */
interface LastWords {
  /** A Closed, and what came before it in the same message. */
  readonly bytes: Uint8Array;
  readonly code: number;
  readonly by: "bridge" | "room";
}

/** Who counts and logs. */
export interface PlayerObserver {
  /** A Join was answered. */
  joinDone(outcome: "joined" | "resumed" | number): void;
  /** A Join has waited too long: it was not asked. */
  joinRefused(): void;
  relayed(direction: "to_room" | "to_player", packets: number, bytes: number): void;
  /** A player was told Closed with this code. */
  closedSent(code: number, by: "bridge" | "room"): void;
  edgeFailed(failure: EdgeFailure): void;
}

/**
 * The connection of a player: whole packets to the room, whatever the room sends back. It keeps nothing of the player's
 * session, so a player may lose it at any time and come back through any bridge.
 *
 * `joining` until Join has come, `waiting` while too many others of a suspect address are asked, `asking` until the room
 * has answered it, `joined` then; `held` when it has failed and is told late; `over` when Closed has left.
 */
export class PlayerSession extends Session {
  readonly #options: PlayerSessionOptions;
  readonly #decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  readonly #questions: EdgeQuestions;
  readonly #startedMs = performance.now();
  readonly #addressRecord: PlayerAddress;
  #phase: "joining" | "waiting" | "asking" | "joined" | "held" | "over" = "joining";
  #path: RoomSocket | undefined;
  /** The Join that waits, what came behind it, and since when. */
  #waiting: { readonly join: Join; readonly runs: Uint8Array[]; readonly sinceMs: number } | undefined;
  /** The address counts a Join of this connection as asked. */
  #isAsked = false;
  #askedMs = 0;
  /** What the player is told late. */
  #held: LastWords | undefined;
  #heldUntilMs = 0;
  /** The player will send no more. */
  #leaving = false;
  #heardMs = this.#startedMs;
  /** When the first byte of the packet came whose rest is missing; 0 between packets. */
  #heldSinceMs = 0;

  constructor(context: SessionContext, options: PlayerSessionOptions) {
    super(context);
    this.#options = options;
    this.#questions = new EdgeQuestions(options.limits.edgeDeadlineMs);
    this.#addressRecord = options.addresses.of(context.address, this.#startedMs);
    this.#addressRecord.connected();
  }

  drain(): void {
    if (this.#held !== undefined) this.#finish(this.#held);
    else this.#close(ClosedCode.GoingAway, "this bridge stops");
  }

  protected onReceive(chunk: Uint8Array): void {
    if (this.#isTold) return;
    const nowMs = performance.now();
    this.#heardMs = nowMs;
    let completed = false;
    try {
      this.#decoder.pushRuns(chunk, (run) => {
        completed = true;
        if (!this.#isTold) this.#take(run);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#close(ClosedCode.ProtocolError, error.message);
    }
    if (this.#decoder.heldBytes === 0) this.#heldSinceMs = 0;
    else if (completed || this.#heldSinceMs === 0) this.#heldSinceMs = nowMs;
    this.#applyBackpressure();
  }

  protected override onReceiveEnd(): void {
    // Its last packets still reach the room, and the room's answers still reach it.
    this.#leaving = true;
    if (this.#path === undefined || this.#isTold) this.end();
    else this.#path.close();
  }

  protected override onSent(): void {
    this.#path?.resume();
  }

  protected override onUnread(): void {
    this.#close(ClosedCode.TooSlow, "what was sent is not read");
  }

  protected override onSweep(nowMs: number): void {
    const { joinMs, packetTimeoutMs: halfSentMs, idleMs, edgeDeadlineMs } = this.#options.limits;
    if (this.#held !== undefined) {
      if (nowMs >= this.#heldUntilMs) this.#finish(this.#held);
      return;
    }
    if (this.#waiting !== undefined && nowMs - this.#waiting.sinceMs > edgeDeadlineMs) {
      this.#options.observer.joinRefused();
      this.#close(ClosedCode.Unavailable, "too many joins of this address are under way, try again soon");
      return;
    }
    if (!this.writable) this.#questions.postpone(nowMs);
    // While reading pauses, what the peer sends waits in the network: that is not its fault.
    if (!this.reading) {
      this.#heardMs = nowMs;
      this.#heldSinceMs &&= nowMs;
    }
    if (this.#phase === "joining" && nowMs - this.#startedMs > joinMs) {
      // A bad path is no broken contract: whoever it was may try again.
      this.#close(ClosedCode.TooSlow, "join: it did not come in time");
    } else if (this.#heldSinceMs > 0 && nowMs - this.#heldSinceMs > halfSentMs) {
      this.#close(ClosedCode.TooSlow, "the rest of a packet did not come in time");
    } else if (this.#questions.isOverdue(nowMs)) {
      this.#edgeFailed(edgeFailure("edge_timeout", "a player's room or ping"), "the edge does not answer in time");
    } else if (nowMs - this.#heardMs > idleMs) {
      this.disconnect("idle");
    }
  }

  protected override onDisconnected(_code: DisconnectCode): void {
    this.#leftUnanswered(performance.now());
    this.#phase = "over";
    this.#stopWaiting();
    this.#addressRecord.disconnected();
    // The edge is done with it when its path is closed.
    if (this.#path === undefined) this.#askedNoMore();
    else this.#path.close();
  }

  /** Whether it is settled what the player is told: nothing more of it is taken. */
  get #isTold(): boolean {
    return this.#phase === "over" || this.#phase === "held";
  }

  /** Passes whole packets on: all but Ping, which asks for this connection alone. */
  #take(run: Uint8Array): void {
    let start = 0;
    let packets = 0;
    for (let at = 0; at < run.byteLength; ) {
      const end = at + packetSizeAt(run, at);
      if (this.#phase === "joining") this.#join(run.subarray(at, end));
      if (this.#isTold) return;
      if (packetType(run, at) === PLAYER_PACKET_TYPES.ping) {
        this.#relay(run.subarray(start, at), packets);
        this.#ping(run.subarray(at, end));
        start = end;
        packets = 0;
      } else {
        packets += 1;
      }
      at = end;
    }
    this.#relay(run.subarray(start), packets);
  }

  #relay(bytes: Uint8Array, packets: number): void {
    if (packets === 0) return;
    if (this.#waiting !== undefined) this.#waiting.runs.push(bytes);
    else this.#path?.write(bytes);
    this.#options.observer.relayed("to_room", packets, bytes.byteLength);
  }

  #join(packet: Uint8Array): void {
    const join = decodePlayerPacket(packet);
    if (join.kind !== "join") throw new ProtocolError("unexpected_packet", `${join.kind} before join`);
    const nowMs = performance.now();
    this.#phase = "waiting";
    this.#waiting = { join, runs: [], sinceMs: nowMs };
    this.#addressRecord.join(this.#ask, nowMs);
    if (this.#waiting === undefined) return;
    // What was received with it stays here, what comes later in the network.
    this.#options.waiting.add(this);
    this.pauseReading();
  }

  /** Asks the room to let the player in. */
  readonly #ask = (): void =>
    this.guard(() => {
      const waiting = this.#stopWaiting();
      if (waiting === undefined) return;
      this.#phase = "asking";
      this.#isAsked = true;
      this.#askedMs = performance.now();
      this.#questions.join(this.#askedMs);
      this.#path = this.#options.roomSockets.open(waiting.join, this.#pathEvents);
      for (const run of waiting.runs) this.#path.write(run);
      this.resumeReading();
    });

  #stopWaiting(): { readonly join: Join; readonly runs: readonly Uint8Array[] } | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#options.waiting.delete(this);
    this.#addressRecord.giveUp(this.#ask);
    return waiting;
  }

  /** The edge has answered the Join, or will not be heard about it. */
  #askedNoMore(): void {
    if (!this.#isAsked) return;
    this.#isAsked = false;
    this.#addressRecord.answered(performance.now());
  }

  #ping(packet: Uint8Array): void {
    const nowMs = performance.now();
    if (!this.#questions.countPing(nowMs)) {
      this.#close(ClosedCode.TooFast, "more pings are sent than may be");
      return;
    }
    const ping = decodePlayerPacket(packet);
    // While its Join waits there is no path that could be dead.
    if (this.#path === undefined) return;
    if (ping.kind === "ping" && this.#questions.ping(nowMs, ping.nonce)) this.#path.ping();
  }

  readonly #pathEvents: RoomSocketEvents = {
    received: (message) => this.guard(() => this.#passOn(message)),
    pong: () => this.guard(() => this.#pong()),
    written: () => this.guard(() => this.#applyBackpressure()),
    closed: (end) => this.guard(() => this.#pathClosed(end)),
  };

  #passOn(message: Uint8Array): void {
    if (this.#isTold) return;
    const read = readRoomMessage(message);
    if (read === undefined) {
      this.#edgeFailed(edgeFailure("edge_bad_answer", "a message that is not whole packets"), "the edge is broken");
      return;
    }
    const { packets, joined, closedCode } = read;
    const answer = joined ?? closedCode;
    const isLate = this.#phase === "asking" && answer !== undefined && this.#answered(answer);
    this.#options.observer.relayed("to_player", packets, message.byteLength);
    if (closedCode !== undefined) {
      this.#tell({ bytes: message, code: closedCode, by: "room" }, isLate);
      return;
    }
    this.send(message);
    if (!this.writable) this.#path?.pause();
  }

  #pong(): void {
    const nonces = this.#questions.pong();
    if (nonces.length > 0) this.send(pongPackets(nonces));
  }

  #pathClosed(end: RoomSocketEnd): void {
    this.#askedNoMore();
    if (this.#isTold) return;
    if (this.#leaving) this.end();
    else if (end.kind === "failed") this.#edgeFailed(end, "the edge cannot be reached");
    else this.#close(closedCodeOfWebSocket(end.closeCode) ?? ClosedCode.GoingAway, end.reason);
  }

  #edgeFailed(failure: EdgeFailure, message: string): void {
    this.#options.observer.edgeFailed(failure);
    this.#close(ClosedCode.Unavailable, message);
  }

  /** Tells the player why, and ends. */
  #close(code: number, message: string): void {
    if (this.#isTold) return;
    const isLate = this.#phase !== "joined" && this.#answered(code);
    this.#tell({ bytes: closedPacket(code, message), code, by: "bridge" }, isLate);
  }

  #tell(last: LastWords, isLate: boolean): void {
    if (isLate) {
      this.#phase = "held";
      this.#held = last;
      this.#heldUntilMs = performance.now() + this.#options.limits.failedJoinDelayMs;
    } else {
      this.#finish(last);
    }
    this.#path?.close();
  }

  /** Closed leaves, and the connection ends. */
  #finish({ bytes, code, by }: LastWords): void {
    this.#phase = "over";
    this.#held = undefined;
    this.send(bytes);
    this.#options.observer.closedSent(code, by);
    this.end();
  }

  /** The Join has its answer. Returns whether the player is told late: it has failed, as others of its address before. */
  #answered(outcome: "joined" | "resumed" | number): boolean {
    const nowMs = performance.now();
    this.#stopWaiting();
    this.#questions.joinAnswered();
    this.#askedNoMore();
    this.#options.observer.joinDone(outcome);
    if (typeof outcome === "string") this.prove();
    if (this.#phase === "asking") this.#phase = "joined";
    if (outcome !== ClosedCode.SessionInvalid && outcome !== ClosedCode.ProtocolError) return false;
    const isLate = this.#addressRecord.isSuspect(nowMs);
    this.#addressRecord.failed(nowMs);
    return isLate;
  }

  /**
   * Who leaves before the answer has failed too, or that were a way around the limit. But where the edge keeps players
   * waiting for half of its time, an honest crowd gives up and dials again: that must not make its address suspect.
   */
  #leftUnanswered(nowMs: number): void {
    const waitedMs = nowMs - this.#askedMs;
    if (this.#phase !== "asking" || waitedMs > this.#options.limits.edgeDeadlineMs / 2) return;
    this.#addressRecord.failed(nowMs);
  }

  #applyBackpressure(): void {
    const path = this.#path;
    if (path === undefined) return;
    const { maxEdgeBytes } = this.#options.limits;
    const { bufferedBytes } = path;
    if (bufferedBytes > maxEdgeBytes) {
      this.pauseReading();
      // The player's own pings are not read now.
      if (this.#questions.ping(performance.now())) path.ping();
    } else if (bufferedBytes <= maxEdgeBytes / 2) {
      this.resumeReading();
    }
  }
}

/** What the bridge itself says to a player: why the connection ends. */
export function closedPacket(code: ClosedCode | number, message: string): Uint8Array {
  const writer = new ByteWriter();
  writePlayerPacket(writer, { kind: "closed", code, message });
  return writer.finish();
}

/** The answers to Pings. */
export function pongPackets(nonces: readonly number[]): Uint8Array {
  const writer = new ByteWriter();
  for (const nonce of nonces) writePlayerPacket(writer, { kind: "pong", nonce });
  return writer.finish();
}
