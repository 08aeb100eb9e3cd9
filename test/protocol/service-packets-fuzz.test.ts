import { describe, expect, it } from "vitest";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder, ProtocolError, packetType } from "../../protocol/packet-framing.ts";
import { decodeServiceRequest } from "../../protocol/service-packets.ts";
import { decodeBridgePacket, decodeWatchRequest } from "../../protocol/watch-packets.ts";
import { mutateBytes } from "../support/packets/cut-and-mutate.ts";
import { fromHex } from "../support/packets/packet-bytes.ts";
import {
  brokenServiceVectors,
  brokenWatchVectors,
  serviceRequestVectors,
  serviceResponseVectors,
  watchVectors,
} from "../support/packets/service-vectors.ts";
import { seededRandom } from "../support/random.ts";

const BUFFERS = 100_000;
const { FUZZ_SEED = "1" } = process.env;
const corpus = [
  ...[...serviceRequestVectors, ...serviceResponseVectors, ...brokenServiceVectors],
  ...[...watchVectors, ...brokenWatchVectors],
].map(({ hex }) => fromHex(hex));

/** What became of one buffer: the outcomes of its packets, and of the stream. */
function outcomesOf(buffer: Uint8Array, cut: number): string[] {
  const outcomes: string[] = [];
  const decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
  const onPacket = (packet: Uint8Array) => {
    outcomes.push(decodeServiceRequest(packet).kind);
    if (packetType(packet) === 15) outcomes.push(outcomeOf(() => decodeWatchRequest(packet), "watch request"));
    outcomes.push(outcomeOf(() => decodeBridgePacket(packet), "answer"));
  };
  try {
    for (const chunk of [buffer.subarray(0, cut), buffer.subarray(cut)]) {
      decoder.push(chunk, onPacket);
      if (decoder.heldBytes >= MAX_SERVICE_PACKET_BYTES) outcomes.push(`held ${decoder.heldBytes}`);
    }
  } catch (error) {
    outcomes.push(error instanceof ProtocolError ? error.code : `thrown: ${error}`);
  }
  return outcomes;
}

function outcomeOf(decode: () => unknown, what: string): string {
  try {
    decode();
    return what;
  } catch (error) {
    return error instanceof ProtocolError ? `no ${what}` : `thrown: ${error}`;
  }
}

describe("the service packet decoder under 100,000 random and mutated buffers", () => {
  it("returns only documented outcomes, and each of them at least once", () => {
    const random = seededRandom(Number(FUZZ_SEED));
    const seen = new Map<string, number>();
    for (let round = 0; round < BUFFERS; round++) {
      const base = corpus[random.integer(0, corpus.length - 1)] ?? new Uint8Array();
      const buffer = random.chance(0.3) ? random.bytes(random.integer(0, 64)) : mutateBytes(base, random);
      const cut = random.integer(0, buffer.byteLength);
      for (const outcome of outcomesOf(buffer, cut)) seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    expect([...seen.keys()].sort(), `FUZZ_SEED=${FUZZ_SEED}`).toEqual(
      [
        ...["check", "register", "delete", "count", "issue", "checkAccess", "identify", "invalid", "unknown"],
        ...["answer", "no answer", "watch request", "no watch request", "size_too_large", "size_too_small"],
      ].sort(),
    );
  });
});
