import { ByteWriter } from "../packet-fields.ts";
import { writePlayerPacket } from "../player-packets.ts";
import type { LogEntry } from "./room-storage.ts";
import { RunPlaces } from "./run-places.ts";

/**
 * Log entries as packets, written one behind the other. A turn's broadcasts are one run: each is written once, and sockets
 * that get the same part of it, which in a busy room most do, get the same array.
 */
export class DeliveryRun {
  /** Where the entries lie; it may be kept without the bytes. */
  readonly places = new RunPlaces();
  readonly #writer = new ByteWriter(256);
  #part: { readonly from: number; readonly to: number; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  /** Writes an entry, and returns its index. */
  add(entry: LogEntry): number {
    if (entry.kind === "presence") writePlayerPacket(this.#writer, entry);
    else {
      const { offset, from, to, body } = entry;
      writePlayerPacket(this.#writer, { kind: "deliver", offset, from, to, body });
    }
    return this.places.add(entry.offset, this.#writer.length);
  }

  /** The packets `from`..`to - 1`, which must not be changed. */
  bytes(from: number, to: number): Uint8Array<ArrayBuffer> {
    if (this.#part?.from !== from || this.#part.to !== to) {
      const bytes = this.#writer.finish().subarray(this.places.end(from - 1), this.places.end(to - 1));
      this.#part = { from, to, bytes };
    }
    return this.#part.bytes;
  }
}
