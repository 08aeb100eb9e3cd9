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

/**
 * What outlives a connection: the seat in the room, both positions, the messages that wait for the room's ack, and the
 * handover that is under way.
 */
export class ClientSeat {
  readonly window: SendWindow;
  readonly position = new DeliveryPosition();
  readonly handover = new Handover();
  /** Whether Acks wait although they are due. */
  acksHeld = false;
  readonly #outputs: ClientOutputs;
  readonly #acks: AckPolicy;
  #member = 0;
  #retentionMs: number;
  /** Whether messages were given to a seat that may still be there: a new one must not get them again. */
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

  /** The path to the seat is suspect or gone. */
  beginHandover(nowMs: number): void {
    if (this.#hasSeat && this.handover.begin(nowMs, this.#retentionMs)) this.#outputs.event({ kind: "handoverBegin" });
  }

  /** The path that was suspect answers again. */
  endHandover(nowMs: number): void {
    const report = this.handover.end(nowMs);
    if (report !== undefined) this.#outputs.event({ kind: "handoverEnd", ...report });
  }

  /** Gives the seat up if the room has held it for its whole retention: true if so. */
  giveUpIfLate(nowMs: number): boolean {
    const deadlineMs = this.handover.seatDeadlineMs;
    if (deadlineMs === undefined || nowMs < deadlineMs) return false;
    this.#fail("retention", nowMs);
    return true;
  }

  /**
   * The room answered a Join: takes its positions and replays what it has not got.
   *
   * @returns false if another client of the session has used the seat: the numbers are not this one's any more
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

  /** Publishes what the connection has not carried yet. */
  publishWaiting(connection: ClientConnection, nowMs: number): void {
    const replayed = this.window.carry((seq, { to, body }) => {
      connection.add({ kind: "publish", seq, to, body });
      connection.heartbeat.sentQuestion(nowMs);
    });
    this.handover.replay(replayed);
  }

  /**
   * Takes what a room sends on a connection that it has accepted.
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

  /** Acknowledges what was delivered if the policy says so. */
  acknowledgeIfDue(connection: ClientConnection, nowMs: number): void {
    if (this.acksHeld || !this.#acks.isDue(nowMs)) return;
    connection.add({ kind: "ack", position: this.position.delivered });
    connection.heartbeat.sent(nowMs);
    this.#acks.reset();
  }

  /** The connection that owed an Ack is gone: the next Join says what was delivered. */
  forgetAcks(): void {
    this.#acks.reset();
  }

  /**
   * Whether the room resumed the seat that this client knows. It may as well be a newer one: where the Joined of that was
   * lost, the room takes the next Join for its resume.
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
    // The room may wait for room in what it sends: it must learn that the gap was taken.
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

/** How far a player has got in a room's log. `(epoch, offset)` is one value: neither means anything without the other. */
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
   * Takes the room's answer to a Join.
   *
   * @returns what of the same log lies between the two positions and will not come, an upper bound
   */
  join({ epoch, offset }: Joined): Gap | undefined {
    const sameLog = epoch === this.#epoch;
    const before = this.#delivered;
    this.#epoch = epoch;
    // A newcomer's history may start before what this player has: that much of it is a repetition.
    this.#delivered = sameLog ? Math.max(before, offset) : offset;
    return sameLog && offset > before ? { kind: "gap", from: before + 1, to: offset } : undefined;
  }

  /** Whether `offset` is new; if so, it is received. */
  advance(offset: number): boolean {
    if (offset <= this.#delivered) return false;
    this.#delivered = offset;
    return true;
  }

  /** Takes the room's Gap; undefined if all of it was received after all. */
  skip({ from, to }: Gap): Gap | undefined {
    const first = Math.max(from, this.#delivered + 1);
    return this.advance(to) ? { kind: "gap", from: first, to } : undefined;
  }
}
