import type { ClosedCode } from "../closed-codes.ts";
import type { Presence } from "../player-packets.ts";
import { DATAGRAM_OVERHEAD_BYTES } from "../player-packets.ts";
import type { HeldTotal } from "./held-publishes.ts";
import { RoomConnection } from "./room-connection.ts";
import type { RoomDelivery } from "./room-delivery.ts";
import type { RoomLimits } from "./room-limits.ts";
import type { RoomIdentity, RoomOutput } from "./room-output.ts";

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
