import type { ClosedCode } from "../../closed-codes.ts";
import { DATAGRAM_OVERHEAD_BYTES, type Presence } from "../../player-packets.ts";
import { AckPolicy } from "../flow-control.ts";
import type { RoomDelivery } from "./room-delivery.ts";
import { HeldPublishes, type HeldTotal, type SenderBudget } from "./room-intake.ts";
import type { RoomLimits } from "./room-limits.ts";
import { PacketOutbox, UnackedDeliveries } from "./room-log.ts";

/** The connections of a room that count, and what is to be done with them. */
export class RoomConnections {
  readonly #limits: RoomLimits;
  readonly #delivery: RoomDelivery;
  readonly #pingedMs: (connection: number) => number;
  readonly #byId = new Map<number, RoomConnection>();
  readonly #byMember = new Map<number, RoomConnection>();
  /** Those without a Join, the oldest first. */
  readonly #unjoined = new Set<RoomConnection>();
  readonly #heldTotal: HeldTotal = { bytes: 0 };
  #outputs: RoomOutput[] = [];

  /** `pingedMs`: when a ping that the core does not see was last answered, 0 if never. */
  constructor(limits: RoomLimits, delivery: RoomDelivery, pingedMs: (connection: number) => number) {
    this.#limits = limits;
    this.#delivery = delivery;
    this.#pingedMs = pingedMs;
  }

  add(id: number, identity: RoomIdentity, nowMs: number): RoomConnection {
    const connection = new RoomConnection(id, identity, this.#limits, this.#heldTotal, nowMs);
    this.#byId.set(id, connection);
    this.#unjoined.add(connection);
    return connection;
  }

  find(id: number): RoomConnection | undefined {
    return this.#byId.get(id);
  }

  ofMember(member: number): RoomConnection | undefined {
    return this.#byMember.get(member);
  }

  /** The members' connections. */
  joined(): Iterable<RoomConnection> {
    return this.#byMember.values();
  }

  all(): RoomConnection[] {
    return [...this.#byId.values()];
  }

  /** The connection is the member's from now on. */
  seat(connection: RoomConnection, member: number): void {
    this.#unjoined.delete(connection);
    this.#byMember.set(member, connection);
  }

  /** Forgets a connection that has ended. */
  delete(connection: RoomConnection): void {
    this.#byId.delete(connection.id);
    this.#unjoined.delete(connection);
    connection.held.clear();
    const { member } = connection;
    if (member !== undefined && this.#byMember.get(member) === connection) this.#byMember.delete(member);
  }

  /** Ends a connection: its last packet says why. */
  end(connection: RoomConnection, code: ClosedCode, message: string): void {
    connection.outbox.add({ kind: "closed", code, message });
    this.#flush(connection);
    this.#outputs.push({ kind: "close", connection: connection.id, code, message });
    this.delete(connection);
  }

  /** Passes a datagram to the other members if its sender's budget allows: to those that keep up, for nobody waits for it. */
  relay({ member: from, budget }: RoomConnection, body: Uint8Array, nowMs: number): void {
    const bytes = DATAGRAM_OVERHEAD_BYTES + body.byteLength;
    if (budget?.takeDatagram(bytes, this.#limits.sender, nowMs) === false) return;
    for (const [member, connection] of this.#byMember) {
      if (member === from || !this.#keepsUp(connection)) continue;
      connection.outbox.add({ kind: "datagram", member: from ?? 0, body });
      connection.datagramBytes += bytes;
    }
  }

  /** What can be seen of it: nothing acknowledges a datagram, so a player must be heard now and then. */
  #keepsUp(connection: RoomConnection): boolean {
    const { replayWindowBytes, datagramWindowBytes } = this.#limits;
    if (!connection.live || connection.unacked.bytes >= replayWindowBytes) return false;
    if (connection.datagramBytes >= datagramWindowBytes) connection.heard(this.#pingedMs(connection.id));
    return connection.datagramBytes < datagramWindowBytes;
  }

  presence(member: number, state: Presence, user: string): void {
    this.#outputs.push({ kind: "presence", member, state, user });
  }

  /** The connections whose Join is overdue. */
  withoutJoin(nowMs: number): RoomConnection[] {
    return [...this.#unjoined].filter(({ joinDeadlineMs }) => nowMs >= joinDeadlineMs);
  }

  /** A connection without a Join that must go for the newest one: its session's oldest, or the oldest of all. */
  beyondUnjoined({ identity }: RoomConnection): RoomConnection | undefined {
    const { maxUnjoined, maxUnjoinedPerSession } = this.#limits;
    let first: RoomConnection | undefined;
    let ofSession = 0;
    for (const connection of this.#unjoined) {
      if (connection.identity.session !== identity.session) continue;
      first ??= connection;
      ofSession += 1;
    }
    if (ofSession > maxUnjoinedPerSession) return first;
    return this.#unjoined.size > maxUnjoined ? this.#unjoined.values().next().value : undefined;
  }

  /** The connections that the room waits for, and that have acknowledged nothing for too long. */
  stalled(nowMs: number): RoomConnection[] {
    return this.all().filter((connection) => nowMs >= (this.#stallMs(connection) ?? Number.POSITIVE_INFINITY));
  }

  /** When the first of them will have. */
  get stallDeadlineMs(): number | undefined {
    let earliest: number | undefined;
    for (const connection of this.#byMember.values()) {
      const stallMs = this.#stallMs(connection);
      if (stallMs !== undefined) earliest = Math.min(earliest ?? stallMs, stallMs);
    }
    return earliest;
  }

  #stallMs({ member, live, progressMs }: RoomConnection): number | undefined {
    return member === undefined || live ? undefined : progressMs + this.#limits.ackTimeoutMs;
  }

  get deadlineMs(): number | undefined {
    let earliest = Number.POSITIVE_INFINITY;
    for (const connection of this.#byId.values()) {
      const { member, established, acks, held, joinDeadlineMs } = connection;
      if (member === undefined) earliest = Math.min(earliest, joinDeadlineMs);
      else if (established) earliest = Math.min(earliest, acks.deadlineMs ?? earliest);
      if (held.length > 0) earliest = Math.min(earliest, connection.drainAtMs);
    }
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  takeOutputs(nowMs: number): RoomOutput[] {
    for (const connection of this.#byId.values()) {
      const { member, established, acks } = connection;
      // The first Ack after Joined ends the replay: before that none may go.
      if (member !== undefined && established && acks.isDue(nowMs)) this.#delivery.confirm(connection, member);
      this.#answerPing(connection);
      this.#flush(connection);
      if (member !== undefined && connection.changed) {
        connection.changed = false;
        this.#outputs.push({ kind: "snapshot", connection: connection.id, snapshot: connection.snapshot(member) });
      }
    }
    this.#delivery.endTurn();
    const taken = this.#outputs;
    this.#outputs = [];
    return taken;
  }

  /** One Pong a turn: a player who does not read must not fill the memory with answers. */
  #answerPing(connection: RoomConnection): void {
    const nonce = connection.unansweredPing;
    if (nonce === undefined) return;
    connection.unansweredPing = undefined;
    connection.outbox.add({ kind: "pong", nonce });
  }

  #flush(connection: RoomConnection): void {
    const bytes = connection.outbox.take();
    if (bytes !== undefined) this.#outputs.push({ kind: "write", connection: connection.id, bytes });
  }
}

/** What the room core wants done, in order. A `connection` is the number that its driver gave it. */
export type RoomOutput =
  /** Send this binary message: one or more whole packets. */
  | { readonly kind: "write"; readonly connection: number; readonly bytes: Uint8Array }
  /** Close the connection after what was written; the WebSocket close code is 4000 + code. */
  | { readonly kind: "close"; readonly connection: number; readonly code: number; readonly message: string }
  /** Keep this with the connection: {@link RoomCore.restore} wants it back after the room's memory was lost. */
  | { readonly kind: "snapshot"; readonly connection: number; readonly snapshot: ConnectionSnapshot }
  /** What became of a member, once each. */
  | { readonly kind: "presence"; readonly member: number; readonly state: Presence; readonly user: string };

/** What a joined connection's place in the log is; a few numbers, so that it fits any attachment. */
export interface ConnectionSnapshot {
  readonly member: number;
  readonly attempt: number;
  /** Whether it has everything in the log; then `sent` does not matter. */
  readonly live: boolean;
  /** Whether it has ever had. */
  readonly established: boolean;
  readonly sent: number;
  /** The highest offset that the player acknowledged. */
  readonly ackedByPlayer: number;
  /** The highest seq that the room acknowledged to it. */
  readonly ackedToPlayer: number;
  /** Whether it has published what waits in the room's memory. */
  readonly holds: boolean;
}

/** Whose connection it is, as its upgrade proved. */
export interface RoomIdentity {
  /** The same text for the same session only, whatever happens to its sessid. */
  readonly session: string;
  readonly user: string;
  /** Whether a Join may show this token on it. A zero token is accepted without asking. */
  acceptsToken(token: Uint8Array): boolean;
}

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
  ackedByPlayer = 0;
  /** When that last rose, or the room began to wait for it. */
  progressMs = 0;
  /** Its session's. */
  budget: SenderBudget | undefined;
  /** The highest seq that the room acknowledged. */
  ackedToPlayer = 0;
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
    this.ackedByPlayer = place.ackedByPlayer;
    this.ackedToPlayer = place.ackedToPlayer;
    this.changed = true;
  }

  /** The player was alive at this moment, which may be one that is known already. */
  heard(atMs: number): void {
    if (atMs <= this.#heardMs) return;
    this.#heardMs = atMs;
    this.datagramBytes = 0;
  }

  snapshot(member: number): ConnectionSnapshot {
    const { attempt, live, established, sent, ackedByPlayer: acknowledged, ackedToPlayer: confirmed } = this;
    return {
      member,
      attempt,
      live,
      established,
      sent,
      ackedByPlayer: acknowledged,
      ackedToPlayer: confirmed,
      holds: this.held.length > 0,
    };
  }
}
