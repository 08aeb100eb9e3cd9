import type { ClosedCode } from "../../closed-codes.ts";
import { DATAGRAM_OVERHEAD_BYTES, type Presence } from "../../player-packets.ts";
import { AckPolicy } from "../flow-control.ts";
import { HeldPublishes, type HeldTotal, type SenderBudget } from "./room-intake.ts";
import type { RoomLimits } from "./room-limits.ts";
import { PacketOutbox, UnackedDeliveries } from "./room-log.ts";
import type { RoomSeats } from "./room-seats.ts";

/** What the driver of a room must do, in order. A `connection` is the number that the driver gave it. */
export type RoomOutput =
  /** Send this binary message: one or more whole packets. */
  | { readonly kind: "write"; readonly connection: number; readonly bytes: Uint8Array }
  /** Close the connection after what was written; the WebSocket close code is 4000 + code. */
  | { readonly kind: "close"; readonly connection: number; readonly code: number; readonly message: string }
  /** Keep this with the connection: RoomCore.restore needs it after the room's memory was lost. */
  | { readonly kind: "snapshot"; readonly connection: number; readonly snapshot: ConnectionSnapshot }
  /** A member's presence has changed. */
  | { readonly kind: "presence"; readonly member: number; readonly state: Presence; readonly user: string };

/** The place of a joined connection in the log: a few numbers, so that they fit into a WebSocket's attachment. */
export interface ConnectionSnapshot {
  readonly member: number;
  readonly attempt: number;
  /** Whether the whole log was sent to it; then `sent` does not matter. */
  readonly live: boolean;
  /** Whether its replay has once reached the end of the log. */
  readonly established: boolean;
  readonly sent: number;
  /** The highest offset that the player acked. */
  readonly ackedByPlayer: number;
  /** The highest seq that the room has acked to the player. */
  readonly ackedToPlayer: number;
  /** Whether messages of this connection wait in the room's memory. */
  readonly holds: boolean;
}

/** The session of a connection, which its upgrade request has proved. */
export interface RoomIdentity {
  /** A text that only this session has, even if its sessid is reused. */
  readonly session: string;
  readonly user: string;
  /** Whether a Join may show this token. A token of zeroes is accepted without this call. */
  acceptsToken(token: Uint8Array): boolean;
}

/** The open connections of a room, and the outputs for its driver. */
export class RoomConnections {
  readonly #limits: RoomLimits;
  readonly #seats: RoomSeats;
  readonly #pingedMs: (connection: number) => number;
  readonly #byId = new Map<number, RoomConnection>();
  readonly #byMember = new Map<number, RoomConnection>();
  /** Connections without a Join, the oldest first. */
  readonly #unjoined = new Set<RoomConnection>();
  readonly #heldTotal: HeldTotal = { bytes: 0 };
  #outputs: RoomOutput[] = [];

  /** `pingedMs`: when the driver last responded to a ping of the connection, which the core does not see; 0 if never. */
  constructor(limits: RoomLimits, seats: RoomSeats, pingedMs: (connection: number) => number) {
    this.#limits = limits;
    this.#seats = seats;
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

  /** Makes it the connection of this member. */
  seat(connection: RoomConnection, member: number): void {
    this.#unjoined.delete(connection);
    this.#byMember.set(member, connection);
  }

  /** Removes a connection that has ended. */
  delete(connection: RoomConnection): void {
    this.#byId.delete(connection.id);
    this.#unjoined.delete(connection);
    connection.held.clear();
    const { member } = connection;
    if (member !== undefined && this.#byMember.get(member) === connection) this.#byMember.delete(member);
  }

  /** Ends a connection: its last packet is Closed. */
  end(connection: RoomConnection, code: ClosedCode, message: string): void {
    connection.outbox.add({ kind: "closed", code, message });
    this.#flush(connection);
    this.#outputs.push({ kind: "close", connection: connection.id, code, message });
    this.delete(connection);
  }

  /** Relays a datagram, if its sender's budget allows, to the other members that keep up. The rest do not get it. */
  relay({ member: from, budget }: RoomConnection, body: Uint8Array, nowMs: number): void {
    const bytes = DATAGRAM_OVERHEAD_BYTES + body.byteLength;
    if (budget?.takeDatagram(bytes, this.#limits.sender, nowMs) === false) return;
    for (const [member, connection] of this.#byMember) {
      if (member === from || !this.#keepsUp(connection)) continue;
      connection.outbox.add({ kind: "datagram", member: from ?? 0, body });
      connection.datagramBytes += bytes;
    }
  }

  /** Datagrams have no Ack, so this counts the bytes since the player's last packet or ping. */
  #keepsUp(connection: RoomConnection): boolean {
    const { replayWindowBytes, datagramWindowBytes } = this.#limits;
    if (!connection.live || connection.unacked.bytes >= replayWindowBytes) return false;
    if (connection.datagramBytes >= datagramWindowBytes) connection.heard(this.#pingedMs(connection.id));
    return connection.datagramBytes < datagramWindowBytes;
  }

  presence(member: number, state: Presence, user: string): void {
    this.#outputs.push({ kind: "presence", member, state, user });
  }

  /** The offset above which members with a connection need the log. */
  get neededOffset(): number {
    let needed = Number.POSITIVE_INFINITY;
    for (const { ackedByPlayer } of this.#byMember.values()) needed = Math.min(needed, ackedByPlayer);
    return needed;
  }

  /** The connections whose Join is overdue. */
  withoutJoin(nowMs: number): RoomConnection[] {
    return [...this.#unjoined].filter(({ joinDeadlineMs }) => nowMs >= joinDeadlineMs);
  }

  /** The connection without a Join that the newest one displaces: the oldest of its session, or the oldest of all. */
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

  /** The connections that the room waits for and that have acked nothing for too long. */
  stalled(nowMs: number): RoomConnection[] {
    return this.all().filter((connection) => nowMs >= (this.#stallMs(connection) ?? Number.POSITIVE_INFINITY));
  }

  /** When the first connection will be stalled. */
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
      // The first Ack after Joined tells the client that the replay has ended, so none may be sent before.
      if (member !== undefined && established && acks.isDue(nowMs)) {
        connection.ack(this.#seats.receivedOf(member));
      }
      this.#sendPong(connection);
      this.#flush(connection);
      if (member !== undefined && connection.changed) {
        connection.changed = false;
        this.#outputs.push({ kind: "snapshot", connection: connection.id, snapshot: connection.snapshot(member) });
      }
    }
    const taken = this.#outputs;
    this.#outputs = [];
    return taken;
  }

  /** At most one Pong a transaction: a player who does not read must not fill the memory with Pongs. */
  #sendPong(connection: RoomConnection): void {
    const nonce = connection.pendingPing;
    if (nonce === undefined) return;
    connection.pendingPing = undefined;
    connection.outbox.add({ kind: "pong", nonce });
  }

  #flush(connection: RoomConnection): void {
    const bytes = connection.outbox.take();
    if (bytes !== undefined) this.#outputs.push({ kind: "write", connection: connection.id, bytes });
  }
}

/** One connection to a room. It has no seat before its Join. */
export class RoomConnection {
  readonly id: number;
  readonly identity: RoomIdentity;
  readonly outbox = new PacketOutbox();
  readonly acks: AckPolicy;
  readonly unacked = new UnackedDeliveries();
  /** Messages that it has published beyond its budget. */
  readonly held: HeldPublishes;
  /** When the room may accept more of them. */
  drainAtMs = 0;
  /** Whether its Leave was received, and waits until those messages have been accepted. */
  leaving = false;
  /** Its Join must be received before this time. */
  readonly joinDeadlineMs: number;
  /** The member whose seat it has, undefined before its Join. */
  member: number | undefined;
  attempt = 0;
  /** The log is sent up to this offset. */
  sent = 0;
  /** Whether the whole log was sent to it, so that it gets entries as they are appended. Otherwise it gets a replay, or is paced. */
  live = false;
  /** Whether its replay has once reached the end of the log. */
  established = false;
  /** The highest offset that the player acked. */
  ackedByPlayer = 0;
  /** When `ackedByPlayer` last rose, or when the room began to wait for it to rise. */
  progressMs = 0;
  /** The budget of its session. */
  budget: SenderBudget | undefined;
  /** The highest seq that the room acked. */
  ackedToPlayer = 0;
  /** Bytes of datagrams sent to it since its last packet or ping. */
  datagramBytes = 0;
  /** The nonce of its newest Ping, until the Pong is sent. */
  pendingPing: number | undefined;
  #heardMs: number;
  /** Whether the driver needs a new snapshot. */
  changed = false;

  constructor(id: number, identity: RoomIdentity, limits: RoomLimits, heldTotal: HeldTotal, nowMs: number) {
    this.id = id;
    this.held = new HeldPublishes(heldTotal);
    this.identity = identity;
    this.acks = new AckPolicy(limits);
    this.joinDeadlineMs = nowMs + limits.joinTimeoutMs;
    this.#heardMs = nowMs;
  }

  /** Gives the connection the seat of a member. */
  seat(member: number, place: Omit<ConnectionSnapshot, "member" | "holds">, budget: SenderBudget, nowMs: number): void {
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

  /** The player has sent a packet or a ping at this time, which may be earlier than the time of the last call. */
  heard(atMs: number): void {
    if (atMs <= this.#heardMs) return;
    this.#heardMs = atMs;
    this.datagramBytes = 0;
  }

  /** Adds an Ack of everything up to `seq`. */
  ack(seq: number): void {
    this.outbox.add({ kind: "ack", position: seq });
    this.ackedToPlayer = seq;
    this.changed = true;
    this.acks.reset();
  }

  snapshot(member: number): ConnectionSnapshot {
    const { attempt, live, established, sent, ackedByPlayer, ackedToPlayer } = this;
    return {
      member,
      attempt,
      live,
      established,
      sent,
      ackedByPlayer,
      ackedToPlayer,
      holds: this.held.length > 0,
    };
  }
}
