import { AckPolicy } from "./ack-policy.ts";
import { HeldPublishes, type HeldTotal } from "./held-publishes.ts";
import { PacketOutbox } from "./packet-outbox.ts";
import type { RoomLimits } from "./room-limits.ts";
import type { ConnectionSnapshot, RoomIdentity } from "./room-output.ts";
import type { SenderBudget } from "./sender-budget.ts";
import { UnackedDeliveries } from "./unacked-deliveries.ts";

/** One connection to a room: before its Join it has no seat. */
export class RoomConnection {
  readonly id: number;
  readonly identity: RoomIdentity;
  readonly outbox = new PacketOutbox();
  readonly acks: AckPolicy;
  readonly unacked = new UnackedDeliveries();
  /** What it has published beyond its budget. */
  readonly held: HeldPublishes;
  /** When more of that may be taken in. */
  drainAtMs = 0;
  /** Whether its Leave has come, and waits for that. */
  leaves = false;
  /** When its Join must have come. */
  readonly joinDeadlineMs: number;
  /** The member whose seat it has, undefined before its Join. */
  member: number | undefined;
  attempt = 0;
  /** The log is sent up to this offset. */
  sent = 0;
  /** Whether it was sent all of the log: then entries are sent as they are appended. Else it is replayed to, or paced. */
  live = false;
  /** Whether its replay has once reached the log's end. */
  established = false;
  /** The highest offset that the player acknowledged. */
  acknowledged = 0;
  /** When that last rose, or the room began to wait for it. */
  progressMs = 0;
  /** Its session's. */
  budget: SenderBudget | undefined;
  /** The highest seq that the room acknowledged. */
  confirmed = 0;
  /** Datagrams that it was sent since it was last heard. */
  datagramBytes = 0;
  /** The nonce of its newest Ping without an answer. */
  unansweredPing: number | undefined;
  #heardMs: number;
  /** Whether its driver should keep a new snapshot. */
  changed = false;

  constructor(id: number, identity: RoomIdentity, limits: RoomLimits, heldTotal: HeldTotal, nowMs: number) {
    this.id = id;
    this.held = new HeldPublishes(heldTotal);
    this.identity = identity;
    this.acks = new AckPolicy(limits);
    this.joinDeadlineMs = nowMs + limits.joinTimeoutMs;
    this.#heardMs = nowMs;
  }

  /** Takes the seat of a member. */
  take(member: number, place: Omit<ConnectionSnapshot, "member" | "holds">, budget: SenderBudget, nowMs: number): void {
    this.member = member;
    this.attempt = place.attempt;
    this.live = place.live;
    this.established = place.established;
    this.progressMs = nowMs;
    this.budget = budget;
    this.sent = place.sent;
    this.acknowledged = place.acknowledged;
    this.confirmed = place.confirmed;
    this.changed = true;
  }

  /** The player was alive at this moment, which may be one that is known already. */
  heard(atMs: number): void {
    if (atMs <= this.#heardMs) return;
    this.#heardMs = atMs;
    this.datagramBytes = 0;
  }

  snapshot(member: number): ConnectionSnapshot {
    const { attempt, live, established, sent, acknowledged, confirmed } = this;
    return { member, attempt, live, established, sent, acknowledged, confirmed, holds: this.held.length > 0 };
  }
}
