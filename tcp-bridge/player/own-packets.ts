import type { ClosedCode } from "../../protocol/closed-codes.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writePlayerPacket } from "../../protocol/player-packets.ts";

/** What the bridge itself says to a player: why the connection ends. */
export function closedPacket(code: ClosedCode | number, message: string): Uint8Array {
  const writer = new ByteWriter();
  writePlayerPacket(writer, { kind: "closed", code, message });
  return writer.finish();
}

/** The answers to Pings. */
export function pongPackets(nonces: readonly number[]): Uint8Array {
  const writer = new ByteWriter();
  for (const nonce of nonces) writePlayerPacket(writer, { kind: "pong", nonce });
  return writer.finish();
}
