import { MAX_SERVICE_PACKET_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { MAX_BATCH_BYTES, REQUEST_TYPES } from "../../protocol/service-packets.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";

/** A connection whose packets wait for the edge. */
export interface PacketSource {
  /** How many packets wait. */
  readonly waiting: number;

  /**
   * Moves packets from the front of the queue into the batch, at most `maxPackets` with at most `maxBytes` together; it may move
   * none. Until {@link receiveResponses} is called, the source moves nothing into another batch.
   */
  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void;

  /** Responds with Unavailable to waiting packets that were received before `beforeMs`: the edge cannot respond in time. */
  expire(beforeMs: number): void;

  /** Gets the responses, in order, to all packets that this source moved into one batch. */
  receiveResponses(responses: Uint8Array): void;
}

/** The part of a batch that comes from one source. */
export interface Segment {
  readonly source: PacketSource;
  packets: number;
  bytes: number;
}

/** The packets of one `POST /v1/packets`. The packets of each source are adjacent and in their order. */
export class Batch {
  readonly #segments = new Map<PacketSource, Segment & { readonly runs: Uint8Array[] }>();
  #packets = 0;
  #bytes = 0;
  #oldestMs = Number.POSITIVE_INFINITY;

  get packets(): number {
    return this.#packets;
  }

  /** How many more packets the batch may hold. */
  get packetRoom(): number {
    return MAX_BATCH_REQUESTS - this.#packets;
  }

  /** How many more bytes the batch may hold. */
  get byteRoom(): number {
    return MAX_BATCH_BYTES - this.#bytes;
  }

  /** When the oldest packet was received. */
  get oldestMs(): number {
    return this.#oldestMs;
  }

  /** In the order of their packets in {@link body}. */
  get segments(): Iterable<Segment> {
    return this.#segments.values();
  }

  has(source: PacketSource): boolean {
    return this.#segments.has(source);
  }

  /** Adds adjacent whole packets. Do not change the bytes until {@link body} was called. */
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

  /** A copy of all packets, the only one that the bridge makes. */
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

/** Whether the packets contain an Issue. Executed twice it would create two sessions, so such a batch is never repeated. */
export function holdsIssue(packets: Uint8Array): boolean {
  for (let at = 0; at < packets.byteLength; at += packetSizeAt(packets, at)) {
    if (packetType(packets, at) === REQUEST_TYPES.issue) return true;
  }
  return false;
}

/**
 * Up to this many packets of a source are not split between batches: the rest would have to wait for the responses to the first
 * part, and if all sources were split, no second batch could be in flight.
 */
const WHOLE_PACKETS = 64;

/**
 * Fills a batch from the ready sources. Each source, from the first on, may add up to {@link WHOLE_PACKETS}; then all share the
 * remaining room equally. Sources that are in the batch or have no packets left are removed from `ready`; the others keep their
 * order.
 *
 * Packets that were received before `expiredMs` are not sent.
 */
export function fillBatch(batch: Batch, ready: Set<PacketSource>, expiredMs: number): void {
  const sources: PacketSource[] = [];
  for (const source of ready) {
    source.expire(expiredMs);
    if (source.waiting > 0) sources.push(source);
    else ready.delete(source);
    if (sources.length === MAX_BATCH_REQUESTS) break;
  }
  for (const source of sources) {
    if (batch.packetRoom === 0) break;
    source.moveInto(batch, Math.min(batch.packetRoom, WHOLE_PACKETS), batch.byteRoom);
  }
  // Twice: the second time shares the room that sources with few packets did not use.
  shareRoom(batch, sources);
  shareRoom(batch, sources);
  for (const source of sources) {
    if (batch.has(source) || source.waiting === 0) ready.delete(source);
  }
}

function shareRoom(batch: Batch, sources: readonly PacketSource[]): void {
  const waiting = sources.filter((source) => source.waiting > 0);
  let left = waiting.length;
  for (const source of waiting) {
    const maxPackets = Math.ceil(batch.packetRoom / left);
    // A share smaller than a packet would starve a source of large packets.
    const maxBytes = Math.min(batch.byteRoom, Math.max(batch.byteRoom / left, MAX_SERVICE_PACKET_BYTES));
    if (maxPackets > 0) source.moveInto(batch, maxPackets, maxBytes);
    left -= 1;
  }
}
