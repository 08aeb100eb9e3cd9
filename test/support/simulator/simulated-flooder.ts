import { ClosedCode } from "../../../protocol/closed-codes.ts";
import { ByteWriter } from "../../../protocol/packet-fields.ts";
import { MAX_PLAYER_PACKET_BYTES } from "../../../protocol/packet-framing.ts";
import { decodePlayerPacket, writePlayerPacket } from "../../../protocol/player-packets.ts";
import { splitPackets } from "../packets/cut-and-mutate.ts";
import { joinPacket } from "../rooms/room-probe.ts";
import type { SimulatedRoom } from "./simulated-room.ts";

const SESSION = "mallory";

/** A member without a window: it publishes without limit, acks nothing, and reconnects when it is closed. */
export class SimulatedFlooder {
  readonly #room: SimulatedRoom;
  #connection: number | undefined;
  #attempt = 0;
  #nextSeq = 1;
  #member = 0;
  /** Why the room closed it, each time. */
  readonly closes: number[] = [];

  constructor(room: SimulatedRoom) {
    this.#room = room;
  }

  /** Sends a fresh Join, unless it has a connection, and publishes `count` messages: to itself, or to everybody. */
  flood(count: number, bodyBytes: number, isPrivate: boolean): void {
    if (this.#connection === undefined) this.#join();
    const writer = new ByteWriter();
    for (let message = 0; message < count; message++) {
      const to = isPrivate ? this.#member : 0;
      writePlayerPacket(writer, { kind: "publish", seq: this.#nextSeq++, to, body: new Uint8Array(bodyBytes) });
      writePlayerPacket(writer, { kind: "datagram", member: 0, body: new Uint8Array(bodyBytes) });
    }
    if (this.#connection !== undefined) this.#room.receive(this.#connection, writer.finish());
  }

  leave(): void {
    if (this.#connection !== undefined) this.#room.disconnect(this.#connection);
    this.#connection = undefined;
  }

  #join(): void {
    const identity = { session: SESSION, user: SESSION, acceptsToken: () => false };
    const connection = this.#room.connect({
      identity,
      write: (bytes) => this.#take(bytes),
      closed: () => {
        this.#connection = undefined;
      },
    });
    this.#connection = connection;
    const writer = new ByteWriter();
    writePlayerPacket(writer, joinPacket({ attempt: ++this.#attempt }));
    this.#room.receive(connection, writer.finish());
  }

  #take(bytes: Uint8Array): void {
    for (const packet of splitPackets(MAX_PLAYER_PACKET_BYTES, [bytes]).map(decodePlayerPacket)) {
      if (packet.kind === "closed") this.closes.push(packet.code);
      if (packet.kind !== "joined") continue;
      this.#member = packet.member;
      this.#nextSeq = packet.received + 1;
    }
  }
}

/** How a flooder may be closed: too fast, too slow with its Acks, or because the room lost its memory. */
export const FLOODER_CLOSES: readonly number[] = [ClosedCode.TooFast, ClosedCode.TooSlow, ClosedCode.GoingAway];
