import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES } from "../../../protocol/packet-framing.ts";
import {
  decodePlayerPacket,
  type Join,
  type Joined,
  type PlayerPacket,
  writePlayerPacket,
} from "../../../protocol/player-packets.ts";
import type { ConnectionSnapshot, RoomIdentity } from "../../../protocol/reliable/room/room-connections.ts";
import { RoomCore } from "../../../protocol/reliable/room/room-core.ts";
import type { RoomLimits } from "../../../protocol/reliable/room/room-limits.ts";
import { splitPackets } from "../packets/cut-and-mutate.ts";
import { MemoryRoomStorage } from "./memory-room-storage.ts";

const EPOCH = 77;
const TOKEN = new Uint8Array(20).fill(7);

/** A room core for tests: the test plays its players, its sockets and its clock. */
export class RoomProbe {
  readonly storage = new MemoryRoomStorage(EPOCH);
  readonly limits: Partial<RoomLimits>;
  readonly closes: { connection: number; code: number }[] = [];
  readonly presences: string[] = [];
  core: RoomCore;
  nowMs = 1_000;
  /** When the driver itself responded to a player's ping. */
  pingedMs = 0;
  readonly #snapshots = new Map<number, ConnectionSnapshot>();
  readonly #packets = new Map<number, PlayerPacket[]>();

  constructor(limits: Partial<RoomLimits> = {}) {
    this.limits = limits;
    this.core = this.#makeCore();
  }

  transact(action: (core: RoomCore, nowMs: number) => void): void {
    action(this.core, this.nowMs);
    // A broadcast is the same bytes for everybody.
    const decoded = new Map<Uint8Array, readonly PlayerPacket[]>();
    for (const output of this.core.takeOutputs(this.nowMs)) {
      if (output.kind === "write") {
        const packets =
          decoded.get(output.bytes) ??
          splitPackets(MAX_PLAYER_PACKET_BYTES, [output.bytes]).map((packet) => decodePlayerPacket(packet));
        decoded.set(output.bytes, packets);
        const taken = this.#packets.get(output.connection) ?? [];
        for (const packet of packets) taken.push(packet);
        this.#packets.set(output.connection, taken);
      } else if (output.kind === "snapshot") this.#snapshots.set(output.connection, output.snapshot);
      else if (output.kind === "close") this.closes.push({ connection: output.connection, code: output.code });
      else this.presences.push(`${output.member}:${output.state}`);
    }
  }

  connect(id: number, session: string): void {
    this.transact((core, nowMs) => core.connected(id, identityOf(session), nowMs));
  }

  /** A player sends these packets in one message. */
  receive(id: number, ...packets: PlayerPacket[]): void {
    this.receiveTogether([[id, packets]]);
  }

  /** Players send these packets, a message each, in one transaction. */
  receiveTogether(messages: readonly (readonly [id: number, packets: readonly PlayerPacket[]])[]): void {
    this.transact((core, nowMs) => {
      for (const [id, packets] of messages) {
        const writer = new ByteWriter();
        for (const packet of packets) writePlayerPacket(writer, packet);
        core.received(id, writer.finish(), nowMs);
      }
    });
  }

  /** Connects and joins; returns the Joined, and leaves the other packets. */
  join(id: number, session: string, join: Partial<Join> = {}): Joined | undefined {
    this.connect(id, session);
    this.receive(id, joinPacket(join));
    const packets = this.takePackets(id);
    const joined = packets.find((packet) => packet.kind === "joined");
    this.#packets.set(
      id,
      packets.filter((packet) => packet !== joined),
    );
    return joined;
  }

  publish(id: number, seq: number, body: Uint8Array = new Uint8Array(10), to = 0): void {
    this.receive(id, { kind: "publish", seq, to, body });
  }

  takePackets(id: number): PlayerPacket[] {
    const packets = this.#packets.get(id) ?? [];
    this.#packets.delete(id);
    return packets;
  }

  /** The kinds of the packets since the last call, with the offset where they have one. */
  takeKinds(id: number): string[] {
    return this.takePackets(id).map((packet) => ("offset" in packet ? `${packet.kind} ${packet.offset}` : packet.kind));
  }

  wait(ms: number): void {
    this.nowMs += ms;
    this.transact((core, nowMs) => core.tick(nowMs));
  }

  /** The room's memory is lost; these connections are not. */
  rebuild(kept: { id: number; session: string }[], nowMs = this.nowMs): void {
    this.nowMs = nowMs;
    this.core = this.#makeCore();
    const connections = kept.map(({ id, session }) => ({
      id,
      identity: identityOf(session),
      snapshot: this.#snapshots.get(id),
    }));
    this.transact((core) => core.restore(connections, nowMs));
  }

  #makeCore(): RoomCore {
    const pingedMs = () => this.pingedMs;
    return new RoomCore({ name: "lobby", storage: this.storage, limits: this.limits, pingedMs });
  }
}

/** A fresh Join of the room "lobby" with a zero token, with the given differences. */
export function joinPacket(fields: Partial<Join> = {}): Join {
  const token = new Uint8Array(20);
  return { kind: "join", token, room: "lobby", epoch: 0, delivered: 0, attempt: 1, ...fields };
}

/** The session's name is its user's name too; every session has {@link TOKEN}. */
function identityOf(session: string): RoomIdentity {
  return { session, user: session, acceptsToken: (token) => Buffer.compare(token, TOKEN) === 0 };
}
