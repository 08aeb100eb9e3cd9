import { ByteWriter } from "../byte-writer.ts";
import type { PlayerPacket } from "../player-packet.ts";
import { writePlayerPacket } from "../player-packets.ts";
import { joinChunks, type SharedWrite } from "./shared-write.ts";

/** Collects the packets that one turn of the event loop has for one socket, so that they leave as one write. */
export class PacketOutbox {
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  /** Packets of this socket alone, behind the chunks. */
  #writer: ByteWriter | undefined;
  /** Whether a chunk is of this socket alone. */
  #hasOwn = false;

  add(packet: PlayerPacket): void {
    this.#writer ??= new ByteWriter();
    writePlayerPacket(this.#writer, packet);
  }

  /** A packet that is written already: a broadcast is encoded once. It must not be changed any more. */
  addEncoded(packet: Uint8Array<ArrayBuffer>): void {
    this.#endWriter();
    this.#chunks.push(packet);
  }

  /**
   * Takes out what was collected, as one array, which must not be changed: `shared` gives sockets that were sent the same
   * packets the same one.
   */
  take(shared?: SharedWrite): Uint8Array<ArrayBuffer> | undefined {
    this.#endWriter();
    const chunks = this.#chunks;
    if (chunks.length === 0) return undefined;
    const joined = this.#hasOwn || shared === undefined ? joinChunks(chunks) : shared.join(chunks);
    this.#chunks = [];
    this.#hasOwn = false;
    return joined;
  }

  #endWriter(): void {
    if (this.#writer === undefined) return;
    this.#chunks.push(this.#writer.finish());
    this.#writer = undefined;
    this.#hasOwn = true;
  }
}
