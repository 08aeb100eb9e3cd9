import { HEADER_BYTES, ProtocolError, packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { decodePlayerPacket, PLAYER_PACKET_TYPES } from "../../protocol/player-packets.ts";

/** What the bridge must know of a message that it relays from a room. */
export interface RoomMessage {
  readonly packets: number;
  /** The answer to a Join, if it is in there. */
  readonly joined: "joined" | "resumed" | undefined;
  /** The code of the Closed in there; it is a room's last packet. */
  readonly closedCode: number | undefined;
}

/** Looks through a message of a room, undefined if it is not whole packets; all but Joined and Closed pass unread. */
export function readRoomMessage(message: Uint8Array): RoomMessage | undefined {
  try {
    return readPackets(message);
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

function readPackets(message: Uint8Array): RoomMessage {
  let packets = 0;
  let joined: RoomMessage["joined"];
  let closedCode: number | undefined;
  for (let at = 0; at < message.byteLength; packets++) {
    const size = packetSizeAt(message, at);
    const end = at + size;
    if (size < HEADER_BYTES || end > message.byteLength) {
      throw new ProtocolError("payload_too_short", "message: it ends inside a packet");
    }
    const type = packetType(message, at);
    if (type === PLAYER_PACKET_TYPES.joined || type === PLAYER_PACKET_TYPES.closed) {
      const packet = decodePlayerPacket(message.subarray(at, end));
      if (packet.kind === "joined") joined = packet.resumed ? "resumed" : "joined";
      else if (packet.kind === "closed") closedCode = packet.code;
    }
    at = end;
  }
  return { packets, joined, closedCode };
}
