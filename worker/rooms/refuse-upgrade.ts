import { ByteWriter } from "../../protocol/byte-writer.ts";
import { type ClosedCode, WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { writePlayerPacket } from "../../protocol/player-packets.ts";

/**
 * Refuses an upgrade so that a browser can see why: it is accepted, told Closed and closed (docs/wire-protocol.md,
 * "Player packets").
 */
export function refuseUpgrade(code: ClosedCode, message: string): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const writer = new ByteWriter();
  writePlayerPacket(writer, { kind: "closed", code, message });
  server.send(writer.finish());
  server.close(WEBSOCKET_CLOSE_BASE + code, message);
  return new Response(null, { status: 101, webSocket: client });
}
