import { PacketDecoder } from "../../protocol/packet-framing.ts";

/** The packets that a decoder with this cap gives out when the chunks come in this order, copied. */
export function splitPackets(maxPacketBytes: number, chunks: readonly Uint8Array[]): Uint8Array[] {
  const decoder = new PacketDecoder(maxPacketBytes);
  const packets: Uint8Array[] = [];
  for (const chunk of chunks) decoder.push(chunk, (packet) => packets.push(Uint8Array.from(packet)));
  return packets;
}

/** `bytes` cut into chunks of one byte. */
export function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}

/** Every way to cut `bytes` in two, the empty halves included. */
export function everySplit(bytes: Uint8Array): Uint8Array[][] {
  return Array.from({ length: bytes.byteLength + 1 }, (_, at) => [bytes.subarray(0, at), bytes.subarray(at)]);
}
