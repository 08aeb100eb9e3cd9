import { ByteWriter } from "../packet-fields.ts";
import type { PlayerPacket } from "../player-packets.ts";
import { writePlayerPacket } from "../player-packets.ts";
import type { DeliveryRun } from "./delivery-run.ts";

/** Neighbours in a run. */
interface RunPart {
  readonly run: DeliveryRun;
  readonly from: number;
  to: number;
}

/** Collects the packets that one turn of the event loop has for one socket, so that they leave as one write. */
export class PacketOutbox {
  #chunks: (Uint8Array<ArrayBuffer> | RunPart)[] = [];
  /** The last chunk, if a run can go on there. */
  #part: RunPart | undefined;
  /** Packets of this socket alone, behind the chunks. */
  #writer: ByteWriter | undefined;

  add(packet: PlayerPacket): void {
    this.#writer ??= new ByteWriter();
    writePlayerPacket(this.#writer, packet);
  }

  /** The packet at this index of a run, which is written already. */
  addDelivery(run: DeliveryRun, index: number): void {
    this.#endWriter();
    if (this.#part?.run === run && this.#part.to === index) {
      this.#part.to = index + 1;
      return;
    }
    this.#part = { run, from: index, to: index + 1 };
    this.#chunks.push(this.#part);
  }

  /** Takes out what was collected, as one array, which must not be changed: other sockets may have the same one. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    this.#endWriter();
    if (this.#chunks.length === 0) return undefined;
    const chunks = this.#chunks.map((chunk) =>
      chunk instanceof Uint8Array ? chunk : chunk.run.bytes(chunk.from, chunk.to),
    );
    this.#chunks = [];
    this.#part = undefined;
    return joinChunks(chunks);
  }

  #endWriter(): void {
    if (this.#writer === undefined) return;
    this.#chunks.push(this.#writer.finish());
    this.#writer = undefined;
    this.#part = undefined;
  }
}

/** One array of the chunks, in their order: the chunk itself if it is alone. */
function joinChunks(chunks: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  const joined = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.byteLength;
  }
  return joined;
}
