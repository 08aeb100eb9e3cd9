import { ClosedCode, closedCodeName, reconnectRule } from "../../closed-codes.ts";
import { ProtocolError } from "../../packet-framing.ts";
import { decodePlayerPacket, MAX_BODY_BYTES, MAX_DATAGRAM_BYTES } from "../../player-packets.ts";
import { type ClientConfig, type ClientLimits, DEFAULT_CLIENT_LIMITS } from "./client-config.ts";
import type { ClientConnection, ClientState } from "./client-connection.ts";
import { ClientDialer } from "./client-dialer.ts";
import { type ClientOutput, ClientOutputs, type SendResult } from "./client-output.ts";
import { ClientSeat } from "./client-seat.ts";

/**
 * The player's side of a reliable session, without I/O: the events of sockets and clocks come in with `nowMs`, the driver's
 * work goes out through {@link ClientMachine.takeOutputs}, which a driver calls after any other call. It calls {@link
 * ClientMachine.tick} at {@link ClientMachine.deadlineMs}. Times are ms of any monotonic clock.
 *
 * A lost or suspect connection is replaced without waiting for its end: the newest one that the room accepts wins.
 */
export class ClientMachine {
  readonly #outputs = new ClientOutputs();
  readonly #dialer: ClientDialer;
  readonly #seat: ClientSeat;
  readonly #limits: ClientLimits;
  #phase: "idle" | "active" | "leaving" | "ended" = "idle";
  #leaveDeadlineMs: number | undefined;

  constructor(config: ClientConfig) {
    this.#limits = { ...DEFAULT_CLIENT_LIMITS, ...config.limits };
    this.#seat = new ClientSeat(this.#limits, this.#outputs);
    this.#dialer = new ClientDialer(config, this.#limits, this.#outputs, this.#seat);
  }

  /** The state of the connection that the room has accepted, otherwise of the one that is being opened. */
  get state(): ClientState {
    return this.#dialer.state;
  }

  /** This player's number in the room, 0 before the first Joined. */
  get member(): number {
    return this.#seat.member;
  }

  /** Its position in the room's log. */
  get position(): { readonly epoch: number; readonly delivered: number } {
    return this.#seat.position;
  }

  /** How many messages the room has not acked. */
  get unackedMessages(): number {
    return this.#seat.window.length;
  }

  /** When {@link tick} must be called next, undefined if there is no deadline. */
  get deadlineMs(): number | undefined {
    if (this.#phase !== "active") return this.#leaveDeadlineMs;
    const deadlines = [this.#dialer.deadlineMs, this.#seat.deadlineMs];
    const earliest = Math.min(...deadlines.map((deadlineMs) => deadlineMs ?? Number.POSITIVE_INFINITY));
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  /** Starts: from now on the machine keeps a connection until {@link disconnect}, or until the room refuses it for good. */
  connect(nowMs: number): void {
    if (this.#phase !== "idle") return;
    this.#phase = "active";
    this.#dialer.dial(nowMs);
  }

  /** Publishes a reliable message (at most MAX_BODY_BYTES, copied) to everybody, or to one member. */
  send(body: Uint8Array, to: number, nowMs: number): SendResult {
    if (this.#phase === "leaving" || this.#phase === "ended") return { kind: "closed" };
    if (body.byteLength > MAX_BODY_BYTES) return { kind: "tooLarge", maxBytes: MAX_BODY_BYTES };
    const id = this.#seat.window.add(to, body);
    if (id === undefined) return { kind: "full" };
    if (this.#dialer.current !== undefined) this.#seat.publishWaiting(this.#dialer.current, nowMs);
    return { kind: "queued", id };
  }

  /** Sends an unreliable message; false if there is no connection to the room, or it is over MAX_DATAGRAM_BYTES. */
  datagram(body: Uint8Array, nowMs: number): boolean {
    const connection = this.#dialer.current;
    if (connection === undefined || this.#phase !== "active" || body.byteLength > MAX_DATAGRAM_BYTES) return false;
    connection.add({ kind: "datagram", member: 0, body });
    connection.heartbeat.sent(nowMs);
    return true;
  }

  /** Leaves the room for good. The event `closed` follows, at the latest after `probeMs`. */
  disconnect(nowMs: number): void {
    if (this.#phase === "leaving" || this.#phase === "ended") return;
    const connection = this.#dialer.current;
    if (connection === undefined) {
      this.#end(ClosedCode.Left, "left without a connection: the room ends the seat itself", nowMs);
      return;
    }
    this.#phase = "leaving";
    this.#leaveDeadlineMs = nowMs + this.#limits.probeMs;
    connection.add({ kind: "leave" });
    this.#dialer.stopDialing();
  }

  /** The network has changed: the connection is pinged at once, and replaced if there is no response. */
  networkChanged(nowMs: number): void {
    if (this.#phase === "active") this.#dialer.networkChanged(nowMs);
  }

  /**
   * While held, the machine does not ack deliveries, so the room sends at most its window more: for a driver whose user is
   * slow. A Join still says what was delivered.
   */
  holdAcks(held: boolean): void {
    this.#seat.acksHeld = held;
  }

  /** TCP is connected, TLS is not yet. Where this cannot be observed (WebSocket), {@link opened} is enough. */
  connected(connection: number): void {
    this.#dialer.connected(connection);
  }

  /** The connection is open: bytes can be sent. */
  opened(connection: number, nowMs: number): void {
    this.#dialer.opened(connection, nowMs);
  }

  /** Bytes were received, split anywhere. */
  received(id: number, bytes: Uint8Array, nowMs: number): void {
    const connection = this.#dialer.find(id);
    if (connection === undefined) return;
    this.#dialer.heard(connection, nowMs);
    try {
      connection.decoder.push(bytes, (packet) => {
        // A packet may have ended the connection, or the machine.
        if (this.#dialer.find(id) === connection) this.#takePacket(connection, packet, nowMs);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#end(ClosedCode.ProtocolError, `the room broke the protocol: ${error.message}`, nowMs);
    }
  }

  /** A text message was received: on a WebSocket the heartbeat's `pong`. */
  receivedText(id: number, nowMs: number): void {
    const connection = this.#dialer.find(id);
    if (connection !== undefined) this.#dialer.heard(connection, nowMs);
  }

  /** The connection failed or ended. `code` is the Closed code, if the WebSocket's close code carried one. */
  lost(id: number, nowMs: number, code?: number): void {
    const connection = this.#dialer.find(id);
    if (connection === undefined) return;
    if (code !== undefined) this.#takeClosed(connection, code, closedCodeName(code), nowMs);
    else if (this.#phase === "leaving") this.#end(ClosedCode.Left, "the connection ended while leaving", nowMs);
    else this.#dialer.lost(connection, nowMs);
  }

  /** Time has passed. */
  tick(nowMs: number): void {
    if (this.#phase === "leaving") {
      if (nowMs >= (this.#leaveDeadlineMs ?? nowMs)) this.#end(ClosedCode.Left, "the room did not answer", nowMs);
      return;
    }
    if (this.#phase === "active") this.#dialer.tick(nowMs);
  }

  /** What the driver must do, in order. All packets for one connection are one write. */
  takeOutputs(nowMs: number): ClientOutput[] {
    const connection = this.#dialer.current;
    if (connection !== undefined) this.#seat.ackIfDue(connection, nowMs);
    return this.#outputs.take(this.#dialer.connections());
  }

  #takePacket(connection: ClientConnection, bytes: Uint8Array, nowMs: number): void {
    const packet = decodePlayerPacket(bytes);
    if (packet.kind === "closed") this.#takeClosed(connection, packet.code, packet.message, nowMs);
    else if (packet.kind === "joined") {
      const isOurs = this.#dialer.joined(connection, packet, nowMs);
      if (!isOurs) this.#end(ClosedCode.Replaced, "another client of this session has used the seat", nowMs);
    } else if (packet.kind === "pong") return;
    else this.#seat.take(connection, packet, nowMs, () => this.#dialer.established(nowMs));
  }

  #takeClosed(connection: ClientConnection, code: number, message: string, nowMs: number): void {
    if (this.#phase === "leaving") this.#end(ClosedCode.Left, message, nowMs);
    else if (code === ClosedCode.Replaced && this.#dialer.replacedItself(connection, nowMs)) return;
    else if (reconnectRule(code) === "no") this.#end(code, message, nowMs);
    else {
      this.#outputs.event({ kind: "interrupted", code, message });
      this.#dialer.lost(connection, nowMs, reconnectRule(code));
    }
  }

  #end(code: number, message: string, nowMs: number): void {
    this.#phase = "ended";
    this.#leaveDeadlineMs = undefined;
    this.#dialer.stop(nowMs);
    this.#outputs.event({ kind: "closed", code, message, unacked: this.#seat.window.drain() });
  }
}
