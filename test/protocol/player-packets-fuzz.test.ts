import { describe, expect, it } from "vitest";
import { MAX_PLAYER_PACKET_BYTES, PacketDecoder, ProtocolError } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket } from "../../protocol/player-packets.ts";
import { mutateBytes } from "../support/packets/cut-and-mutate.ts";
import { fromHex } from "../support/packets/packet-bytes.ts";
import { playerVectors } from "../support/packets/player-vectors.ts";
import { seededRandom } from "../support/random.ts";

const BUFFERS = 100_000;
const { FUZZ_SEED = "1" } = process.env;
const corpus = playerVectors.map(({ hex }) => fromHex(hex));

/** What became of one buffer: the kinds of its packets, then the code of what broke it. */
function outcomesOf(buffer: Uint8Array, cut: number): string[] {
  const outcomes: string[] = [];
  const decoder = new PacketDecoder(MAX_PLAYER_PACKET_BYTES);
  try {
    for (const chunk of [buffer.subarray(0, cut), buffer.subarray(cut)]) {
      decoder.push(chunk, (packet) => outcomes.push(decodePlayerPacket(packet).kind));
      if (decoder.heldBytes >= MAX_PLAYER_PACKET_BYTES) outcomes.push(`held ${decoder.heldBytes}`);
    }
  } catch (error) {
    outcomes.push(error instanceof ProtocolError ? error.code : `thrown: ${error}`);
  }
  return outcomes;
}

describe("the player packet decoder under 100,000 random and mutated buffers", () => {
  it("returns only packets and documented errors, and each of them at least once", () => {
    const random = seededRandom(Number(FUZZ_SEED));
    const seen = new Set<string>();
    for (let round = 0; round < BUFFERS; round++) {
      const base = corpus[random.integer(0, corpus.length - 1)] ?? new Uint8Array();
      const buffer = random.chance(0.2) ? random.bytes(random.integer(0, 64)) : mutateBytes(base, random);
      for (const outcome of outcomesOf(buffer, random.integer(0, buffer.byteLength))) seen.add(outcome);
    }
    expect([...seen].sort(), `FUZZ_SEED=${FUZZ_SEED}`).toEqual(
      [
        ...["join", "joined", "publish", "deliver", "datagram", "ack", "ping", "pong", "leave", "closed", "presence"],
        ...["gap", "size_too_small", "size_too_large", "payload_too_short", "payload_too_long", "bad_utf8"],
        ...["out_of_range", "unknown_type"],
      ].sort(),
    );
  });
});
