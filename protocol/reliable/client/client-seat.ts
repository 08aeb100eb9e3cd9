import { ProtocolError } from "../../packet-framing.ts";
import {
  DELIVER_OVERHEAD_BYTES,
  type Gap,
  type Joined,
  type PlayerPacket,
  type PresenceChange,
} from "../../player-packets.ts";
import { AckPolicy } from "../flow-control.ts";
import type { ClientLimits } from "./client-config.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ClientOutputs } from "./client-output.ts";
import { Handover } from "./handover.ts";
import { SendWindow } from "./send-window.ts";

/** What outlives a connection: the seat in the room, both positions, the unacked messages, and the current handover. */
export class ClientSeat {
  readonly window: SendWindow;
  readonly position = new DeliveryPosition();
  readonly handover = new Handover();
  /** Whether Acks are withheld although they are due. */
  acksHeld = false;
  readonly #outputs: ClientOutputs;
  readonly #acks: AckPolicy;
  #member = 0;
  #retentionMs: number;
  /** Whether messages were sent to a seat that may still exist: a new seat must not get them again. */
  #hasSeat = false;

  constructor(limits: ClientLimits, outputs: ClientOutputs) {
    this.#outputs = outputs;
    this.window = new SendWindow(limits);
    this.#acks = new AckPolicy(limits);
    this.#retentionMs = limits.retentionMs;
  }

  get member(): number {
    return this.#member;
  }

  /** When an Ack or the loss of the seat is due. */
  get deadlineMs(): number | undefined {
    const ackMs = (this.acksHeld ? undefined : this.#acks.deadlineMs) ?? Number.POSITIVE_INFINITY;
    const earliest = Math.min(ackMs, this.handover.seatDeadlineMs ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  /** The connection is suspect or lost. */
  beginHandover(nowMs: number): void {
    if (this.#hasSeat && this.handover.begin(nowMs, this.#retentionMs)) this.#outputs.event({ kind: "handoverBegin" });
  }

  /** The session is established again, or the suspect connection responds again. */
  endHandover(nowMs: number): void {
    const report = this.handover.end(nowMs);
    if (report !== undefined) this.#outputs.event({ kind: "handoverEnd", ...report });
  }

  /** Gives up the seat if the room has held it for the whole retention; returns whether it did. */
  giveUpIfLate(nowMs: number): boolean {
    const deadlineMs = this.handover.seatDeadlineMs;
    if (deadlineMs === undefined || nowMs < deadlineMs) return false;
    this.#fail("retention", nowMs);
    return true;
  }

  /**
   * The room accepted a Join: applies its positions, and publishes what the room has not received.
   *
   * @returns false if another client of the session has used the seat, so that the seq numbers are not this client's
   */
  join(connection: ClientConnection, joined: Joined, nowMs: number): boolean {
    const resumed = this.#isResumedBy(joined);
    if (resumed && !this.window.canResume(joined.received)) return false;
    this.#acks.reset();
    if (resumed) this.#confirm(this.window.resume(joined.received));
    else {
      if (this.#hasSeat) this.#fail("seatLost", nowMs);
      this.window.restart(joined.received);
    }
    const gap = this.position.join(joined);
    this.#member = joined.member;
    this.#hasSeat = true;
    this.#retentionMs = joined.retentionSeconds * 1000;
    this.handover.secure();
    const { member, epoch } = joined;
    this.#outputs.event({ kind: "joined", member, epoch, resumed });
    if (gap !== undefined) this.#outputs.event(gap);
    this.publishWaiting(connection, nowMs);
    return true;
  }

  /** Publishes the messages that the connection has not carried yet. */
  publishWaiting(connection: ClientConnection, nowMs: number): void {
    const replayed = this.window.carry((seq, { to, body }) => {
      connection.add({ kind: "publish", seq, to, body });
      connection.heartbeat.sentQuestion(nowMs);
    });
    this.handover.replay(replayed);
  }

  /**
   * Processes a packet of the room on a connection that it has accepted.
   *
   * @throws ProtocolError the packet has no place there
   */
  take(connection: ClientConnection, packet: PlayerPacket, nowMs: number, onEstablished: () => void): void {
    if (!connection.isJoined) throw new ProtocolError("unexpected_packet", `${packet.kind} before joined`);
    switch (packet.kind) {
      case "deliver":
        if (this.#advance(connection, packet.offset, packet.body.byteLength, nowMs)) {
          const { offset, from, to, body } = packet;
          this.#outputs.event({ kind: "message", offset, from, to, body });
        }
        break;
      case "presence":
        this.#takePresence(connection, packet, nowMs);
        break;
      case "gap":
        this.#takeGap(packet, nowMs);
        break;
      case "datagram":
        this.#outputs.event(packet);
        break;
      case "ack":
        this.#confirm(this.window.acked(packet.position));
        if (connection.state === "Standby") {
          connection.take("ack");
          onEstablished();
          this.endHandover(nowMs);
        }
        break;
      default:
        throw new ProtocolError("unexpected_packet", `${packet.kind} from a room`);
    }
  }

  /** Acks what was delivered if an Ack is due. */
  ackIfDue(connection: ClientConnection, nowMs: number): void {
    if (this.acksHeld || !this.#acks.isDue(nowMs)) return;
    connection.add({ kind: "ack", position: this.position.delivered });
    connection.heartbeat.sent(nowMs);
    this.#acks.reset();
  }

  /** The connection that owed an Ack is lost: the next Join says what was delivered. */
  resetAcks(): void {
    this.#acks.reset();
  }

  /**
   * Whether the room resumed the seat that this client has. It may be a newer one: if the Joined of a new seat was lost, the
   * room takes the next Join for a resume of that seat.
   */
  #isResumedBy({ resumed, member, epoch }: Joined): boolean {
    return this.#hasSeat && resumed && member === this.#member && epoch === this.position.epoch;
  }

  #fail(reason: "retention" | "seatLost", nowMs: number): void {
    this.#hasSeat = false;
    this.handover.end(nowMs);
    this.#outputs.event({ kind: "handoverFailed", reason, unacked: this.window.drain() });
    if (this.window.takeWritable()) this.#outputs.event({ kind: "writable" });
  }

  #confirm(id: number | undefined): void {
    if (id === undefined) return;
    this.#outputs.event({ kind: "acked", id });
    if (this.window.takeWritable()) this.#outputs.event({ kind: "writable" });
  }

  #takePresence(connection: ClientConnection, presence: PresenceChange, nowMs: number): void {
    const bytes = presence.user.length;
    if (presence.offset === 0 || this.#advance(connection, presence.offset, bytes, nowMs))
      this.#outputs.event(presence);
  }

  #takeGap(gap: Gap, nowMs: number): void {
    const lost = this.position.skip(gap);
    if (lost === undefined) return;
    this.#outputs.event(lost);
    // The room may wait for space in its window: the Ack tells it that the gap was received.
    this.#acks.ackNow(nowMs);
  }

  #advance(connection: ClientConnection, offset: number, bodyBytes: number, nowMs: number): boolean {
    if (!this.position.advance(offset)) {
      this.#acks.ackNow(nowMs);
      return false;
    }
    this.#acks.onReceived(DELIVER_OVERHEAD_BYTES + bodyBytes, nowMs);
    if (connection.state === "Standby") this.handover.replay(1);
    return true;
  }
}

/** A player's position in a room's log. An offset is valid only with its epoch. */
export class DeliveryPosition {
  #epoch = 0;
  #delivered = 0;

  /** The incarnation of the log, 0 before the first Joined. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The highest offset received. */
  get delivered(): number {
    return this.#delivered;
  }

  /**
   * Applies the room's response to a Join.
   *
   * @returns the entries of the same log between the two positions, which will not be delivered: an upper bound
   */
  join({ epoch, offset }: Joined): Gap | undefined {
    const sameLog = epoch === this.#epoch;
    const before = this.#delivered;
    this.#epoch = epoch;
    // The history may start before this player's position: that part of it is a repetition.
    this.#delivered = sameLog ? Math.max(before, offset) : offset;
    return sameLog && offset > before ? { kind: "gap", from: before + 1, to: offset } : undefined;
  }

  /** Whether `offset` is new; if so, it counts as received. */
  advance(offset: number): boolean {
    if (offset <= this.#delivered) return false;
    this.#delivered = offset;
    return true;
  }

  /** Applies the room's Gap; undefined if all of it was received before. */
  skip({ from, to }: Gap): Gap | undefined {
    const first = Math.max(from, this.#delivered + 1);
    return this.advance(to) ? { kind: "gap", from: first, to } : undefined;
  }
}
