import type { ClosedCode } from "../closed-codes.ts";
import type { Presence } from "../player-packet.ts";
import { DATAGRAM_OVERHEAD_BYTES } from "../player-packets.ts";
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
  #outputs: RoomOutput[] = [];

  /** `pingedMs`: when a ping that the core does not see was last answered, 0 if never. */
  constructor(limits: RoomLimits, delivery: RoomDelivery, pingedMs: (connection: number) => number) {
    this.#limits = limits;
    this.#delivery = delivery;
    this.#pingedMs = pingedMs;
  }

  add(id: number, identity: RoomIdentity, nowMs: number): RoomConnection {
    const connection = new RoomConnection(id, identity, this.#limits, nowMs);
    this.#byId.set(id, connection);
    return connection;
  }

  find(id: number): RoomConnection | undefined {
    return this.#byId.get(id);
  }

  ofMember(member: number): RoomConnection | undefined {
    return this.#byMember.get(member);
  }

  all(): RoomConnection[] {
    return [...this.#byId.values()];
  }

  /** The connection is the member's from now on. */
  seat(connection: RoomConnection, member: number): void {
    this.#byMember.set(member, connection);
  }

  /** Forgets a connection that has ended. */
  delete(connection: RoomConnection): void {
    this.#byId.delete(connection.id);
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

  /** Passes a datagram to the other members: to those that keep up, for nobody waits for it. */
  relay(from: number, body: Uint8Array): void {
    for (const [member, connection] of this.#byMember) {
      if (member === from || !this.#keepsUp(connection)) continue;
      connection.outbox.add({ kind: "datagram", member: from, body });
      connection.datagramBytes += DATAGRAM_OVERHEAD_BYTES + body.byteLength;
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
    return this.all().filter(({ member, joinDeadlineMs }) => member === undefined && nowMs >= joinDeadlineMs);
  }

  get deadlineMs(): number | undefined {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { member, live, acks, joinDeadlineMs } of this.#byId.values()) {
      if (member === undefined) earliest = Math.min(earliest, joinDeadlineMs);
      else if (live) earliest = Math.min(earliest, acks.deadlineMs ?? earliest);
    }
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  takeOutputs(nowMs: number): RoomOutput[] {
    for (const connection of this.#byId.values()) {
      const { member, live, acks } = connection;
      // The first Ack after Joined ends the replay: before that none may go.
      if (member !== undefined && live && acks.isDue(nowMs)) this.#delivery.confirm(connection, member);
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
