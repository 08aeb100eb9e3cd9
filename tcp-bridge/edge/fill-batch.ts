import { MAX_SERVICE_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import { type Batch, MAX_BATCH_PACKETS } from "./batch.ts";
import type { PacketSource } from "./packet-source.ts";

/**
 * Fills a batch from those who are ready, fairly: each gets an equal share of the room, and what some leave goes to the
 * others. Who is in the batch, or has nothing left, is no longer ready; who found no room stays, in front.
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
