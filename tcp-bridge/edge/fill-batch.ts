import { MAX_SERVICE_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import { type Batch, MAX_BATCH_PACKETS } from "./batch.ts";
import type { PacketSource } from "./packet-source.ts";

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
    if (sources.length === MAX_BATCH_PACKETS) break;
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
