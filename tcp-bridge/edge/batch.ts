import { MAX_SERVICE_PACKET_BYTES, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { MAX_BATCH_BYTES, REQUEST_TYPES } from "../../protocol/service-packets.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";

/** A connection whose packets wait for the edge. */
export interface PacketSource {
  /** How many packets wait. */
  readonly waiting: number;

  /**
   * Moves packets from the front into the batch, at most `maxPackets` of `maxBytes` together; 0 is allowed. Until
   * {@link receiveResponses} nothing more is moved into another batch.
   */
  moveInto(batch: Batch, maxPackets: number, maxBytes: number): void;

  /** Answers with Unavailable what came before `beforeMs` and still waits: the edge cannot be asked in time. */
  expire(beforeMs: number): void;

  /** The answers to all that this source moved into one batch, in order. */
  receiveResponses(answers: Uint8Array): void;
}

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
    return MAX_BATCH_REQUESTS - this.#packets;
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

/**
 * What a connection sends at once is small and is not split: its rest would have to wait for the batch with its beginning,
 * and with the rests of all connections waiting, no second batch could be in flight.
 */
const WHOLE_PACKETS = 64;

/**
 * Fills a batch from those who are ready, fairly: first come those at the front, with little each, then all get an equal
 * share of the room that is left. Who is in the batch, or has nothing left, is no longer ready; who found no room stays,
 * in front.
 *
 * What came before `expiredMs` is not asked any more.
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
  shareOut(batch, sources);
  shareOut(batch, sources);
  for (const source of sources) {
    if (batch.has(source) || source.waiting === 0) ready.delete(source);
  }
}

function shareOut(batch: Batch, sources: readonly PacketSource[]): void {
  const waiting = sources.filter((source) => source.waiting > 0);
  let left = waiting.length;
  for (const source of waiting) {
    const maxPackets = Math.ceil(batch.packetRoom / left);
    // A share smaller than a packet would starve who sends large ones.
    const maxBytes = Math.min(batch.byteRoom, Math.max(batch.byteRoom / left, MAX_SERVICE_PACKET_BYTES));
    if (maxPackets > 0) source.moveInto(batch, maxPackets, maxBytes);
    left -= 1;
  }
}
