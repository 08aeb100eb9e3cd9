import { ByteWriter } from "../byte-writer.ts";
import type { PlayerPacket } from "../player-packet.ts";
import { writePlayerPacket } from "../player-packets.ts";

/** Collects the packets that one turn of the event loop has for one socket, so that they leave as one write. */
export class PacketOutbox {
  #writer: ByteWriter | undefined;

  get isEmpty(): boolean {
    return this.#writer === undefined;
  }

  add(packet: PlayerPacket): void {
    this.#writer ??= new ByteWriter();
    writePlayerPacket(this.#writer, packet);
  }

  /** A packet that is written already: a broadcast is encoded once. */
  addEncoded(packet: Uint8Array): void {
    this.#writer ??= new ByteWriter();
    this.#writer.bytes(packet);
  }

  /** Takes out what was collected. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    const bytes = this.#writer?.finish();
    this.#writer = undefined;
    return bytes;
  }
}
