import { PacketDecoder } from "../../../protocol/packet-framing.ts";
import type { Random } from "../random.ts";

/** `bytes` with one to four small damages: a bit, a byte, a piece cut out, doubled or put in. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let damaged = Uint8Array.from(bytes);
  const times = random.integer(1, 4);
  for (let time = 0; time < times; time++) damaged = damage(damaged, random);
  return damaged;
}

function damage(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const at = random.integer(0, bytes.byteLength);
  const to = Math.min(bytes.byteLength, at + random.integer(0, 8));
  const pieces = (middle: Uint8Array) => Uint8Array.from([...bytes.subarray(0, at), ...middle, ...bytes.subarray(to)]);
  switch (random.integer(0, 3)) {
    case 0: {
      const flipped = Uint8Array.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << random.integer(0, 7));
      return flipped;
    }
    case 1:
      return pieces(new Uint8Array());
    case 2:
      return pieces(Uint8Array.from([...bytes.subarray(at, to), ...bytes.subarray(at, to)]));
    default:
      return pieces(random.bytes(random.integer(1, 6)));
  }
}

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
