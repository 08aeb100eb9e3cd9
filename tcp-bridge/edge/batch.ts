import { packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { REQUEST_TYPES } from "../../protocol/service-packets.ts";
import type { PacketSource } from "./packet-source.ts";

/** What one `POST /v1/packets` may hold. */
export const MAX_BATCH_PACKETS = 1000;
export const MAX_BATCH_BYTES = 512 * 1024;

/** The part of a batch that came from one source. */
export interface Segment {
  readonly source: PacketSource;
  packets: number;
  bytes: number;
}

/** Packets of many connections on their way to the edge; each connection's lie together, in their order. */
export class Batch {
  readonly #segments = new Map<PacketSource, Segment & { readonly runs: Uint8Array[] }>();
  #packets = 0;
  #bytes = 0;
  #oldestMs = Number.POSITIVE_INFINITY;

  get packets(): number {
    return this.#packets;
  }

  get packetRoom(): number {
    return MAX_BATCH_PACKETS - this.#packets;
  }

  get byteRoom(): number {
    return MAX_BATCH_BYTES - this.#bytes;
  }

  /** When the packet that has waited longest came. */
  get oldestMs(): number {
    return this.#oldestMs;
  }

  /** In the order of the packets in {@link body}. */
  get segments(): Iterable<Segment> {
    return this.#segments.values();
  }

  has(source: PacketSource): boolean {
    return this.#segments.has(source);
  }

  /** Adds whole packets that lie together. The bytes must not change before {@link body} was called. */
  add(source: PacketSource, bytes: Uint8Array, packets: number, receivedMs: number): void {
    const segment = this.#segments.get(source);
    if (segment === undefined) {
      this.#segments.set(source, { source, packets, bytes: bytes.byteLength, runs: [bytes] });
    } else {
      segment.packets += packets;
      segment.bytes += bytes.byteLength;
      segment.runs.push(bytes);
    }
    this.#packets += packets;
    this.#bytes += bytes.byteLength;
    this.#oldestMs = Math.min(this.#oldestMs, receivedMs);
  }

  /** All packets in one piece: the only copy that the bridge makes of them. */
  body(): Uint8Array {
    const body = Buffer.allocUnsafe(this.#bytes);
    let at = 0;
    for (const segment of this.#segments.values()) {
      for (const run of segment.runs) {
        body.set(run, at);
        at += run.byteLength;
      }
    }
    return body;
  }
}

/** Whether packets hold an Issue: asked twice, it would make two sessions, so such a batch is never sent again. */
export function holdsIssue(packets: Uint8Array): boolean {
  for (let at = 0; at < packets.byteLength; at += packetSizeAt(packets, at)) {
    if (packetType(packets, at) === REQUEST_TYPES.issue) return true;
  }
  return false;
}
