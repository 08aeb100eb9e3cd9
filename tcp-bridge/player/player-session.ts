import { ClosedCode, closedCodeOfWebSocket } from "../../protocol/closed-codes.ts";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket, PLAYER_PACKET_TYPES } from "../../protocol/player-packets.ts";
import { ProtocolError } from "../../protocol/protocol-error.ts";
import type { DisconnectCode } from "../core/disconnect-code.ts";
import { Session, type SessionContext } from "../core/session.ts";
import { type EdgeFailure, edgeFailure } from "../edge/edge-result.ts";
import { EdgeQuestions } from "./edge-questions.ts";
import type { FailedJoins } from "./failed-joins.ts";
import { closedPacket, pongPackets } from "./own-packets.ts";
import type { PlayerPortLimits } from "./player-limits.ts";
import { readRoomMessage } from "./room-message.ts";
import type { PathEnd, RoomPath, RoomPathEvents } from "./room-path.ts";
import type { RoomPaths } from "./room-paths.ts";

/** What all connections of the player port share. */
export interface PlayerSessionOptions {
  readonly limits: PlayerPortLimits;
  readonly paths: RoomPaths;
  readonly failedJoins: FailedJoins;
  readonly observer: PlayerObserver;
}

/** Who counts and logs. */
export interface PlayerObserver {
  /** A Join was answered. */
  joinAnswered(outcome: "joined" | "resumed" | number): void;
  /** A Join was not asked, because too many of its address have failed. */
  joinRefused(): void;
  relayed(direction: "to_room" | "to_player", packets: number, bytes: number): void;
  /** A player was told Closed with this code. */
  told(code: number, by: "bridge" | "room"): void;
  edgeFailed(failure: EdgeFailure): void;
}

/**
 * The connection of a player: whole packets to the room, whatever the room sends back. It keeps nothing of the player's
 * session, so a player may lose it at any time and come back through any bridge.
 *
 * `joining` until Join has come, `asking` until the room has answered it, `joined` then; `over` when Closed has left.
 */
export class PlayerSession extends Session {
  readonly #options: PlayerSessionOptions;
  readonly #decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  readonly #questions: EdgeQuestions;
  readonly #startedMs = performance.now();
  #phase: "joining" | "asking" | "joined" | "over" = "joining";
  #path: RoomPath | undefined;
  /** The player will send no more. */
  #leaving = false;
  #heardMs = this.#startedMs;
  /** When the first byte of the packet came whose rest is missing; 0 between packets. */
  #heldSinceMs = 0;

  constructor(context: SessionContext, options: PlayerSessionOptions) {
    super(context);
    this.#options = options;
    this.#questions = new EdgeQuestions(options.limits.edgeDeadlineMs);
  }

  drain(): void {
    this.#close(ClosedCode.GoingAway, "this bridge stops");
  }

  protected onReceive(chunk: Uint8Array): void {
    const nowMs = performance.now();
    this.#heardMs = nowMs;
    let completed = false;
    try {
      this.#decoder.pushRuns(chunk, (run) => {
        completed = true;
        if (this.#phase !== "over") this.#take(run);
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
    if (this.#path === undefined) this.end();
    else this.#path.close();
  }

  protected override onSent(): void {
    this.#path?.resume();
  }

  protected override onUnread(): void {
    this.#close(ClosedCode.TooSlow, "what was sent is not read");
  }

  protected override onSweep(nowMs: number): void {
    const { joinMs, halfSentMs, idleMs } = this.#options.limits;
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
    this.#path?.close();
  }

  /** Passes whole packets on: all but Ping, which asks for this connection alone. */
  #take(run: Uint8Array): void {
    let start = 0;
    let packets = 0;
    for (let at = 0; at < run.byteLength; ) {
      const end = at + packetSizeAt(run, at);
      if (this.#phase === "joining") this.#join(run.subarray(at, end));
      if (this.#phase === "over") return;
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
    this.#path?.write(bytes);
    this.#options.observer.relayed("to_room", packets, bytes.byteLength);
  }

  #join(packet: Uint8Array): void {
    const join = decodePlayerPacket(packet);
    if (join.kind !== "join") throw new ProtocolError("unexpected_packet", `${join.kind} before join`);
    const { paths, failedJoins, observer } = this.#options;
    const nowMs = performance.now();
    if (failedJoins.isExceeded(this.address, nowMs)) {
      observer.joinRefused();
      this.#close(ClosedCode.Unavailable, "too many joins of this address have failed, try again in a minute");
      return;
    }
    this.#phase = "asking";
    this.#questions.join(nowMs);
    this.#path = paths.open(join, this.#pathEvents);
  }

  #ping(packet: Uint8Array): void {
    const ping = decodePlayerPacket(packet);
    if (ping.kind === "ping" && this.#questions.ping(performance.now(), ping.nonce)) this.#path?.ping();
  }

  readonly #pathEvents: RoomPathEvents = {
    received: (message) => this.guard(() => this.#passOn(message)),
    pong: () => this.guard(() => this.#pong()),
    written: () => this.guard(() => this.#applyBackpressure()),
    closed: (end) => this.guard(() => this.#pathClosed(end)),
  };

  #passOn(message: Uint8Array): void {
    if (this.#phase === "over") return;
    const read = readRoomMessage(message);
    if (read === undefined) {
      this.#edgeFailed(edgeFailure("edge_bad_answer", "a message that is not whole packets"), "the edge is broken");
      return;
    }
    const { packets, joined, closedCode } = read;
    const answer = joined ?? closedCode;
    if (this.#phase === "asking" && answer !== undefined) this.#answered(answer);
    this.#options.observer.relayed("to_player", packets, message.byteLength);
    this.send(message);
    if (closedCode !== undefined) this.#finish(closedCode, "room");
    else if (!this.writable) this.#path?.pause();
  }

  #pong(): void {
    const nonces = this.#questions.pong();
    if (nonces.length > 0) this.send(pongPackets(nonces));
  }

  #pathClosed(end: PathEnd): void {
    if (this.#phase === "over") return;
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
    if (this.#phase === "over") return;
    if (this.#phase !== "joined") this.#answered(code);
    this.send(closedPacket(code, message));
    this.#finish(code, "bridge");
  }

  /** Closed has left. */
  #finish(code: number, by: "bridge" | "room"): void {
    this.#phase = "over";
    this.#options.observer.told(code, by);
    this.end();
    this.#path?.close();
  }

  #answered(outcome: "joined" | "resumed" | number): void {
    const { observer, failedJoins } = this.#options;
    if (this.#phase === "asking") this.#phase = "joined";
    this.#questions.joinAnswered();
    observer.joinAnswered(outcome);
    const guessed = outcome === ClosedCode.SessionInvalid || outcome === ClosedCode.ProtocolError;
    if (guessed) failedJoins.count(this.address, performance.now());
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
