import { type ClosedCode, WEBSOCKET_CLOSE_BASE } from "../../protocol/closed-codes.ts";
import { ByteWriter } from "../../protocol/packet-fields.ts";
import { writePlayerPacket } from "../../protocol/player-packets.ts";

/** Why a player does not reach its room. */
export interface Refusal {
  readonly kind: "refused";
  readonly code: ClosedCode;
  /** At most 123 bytes, what a WebSocket's close carries (RFC 6455 §5.5: 125 - 2). */
  readonly message: string;
}

export function refusal(code: ClosedCode, message: string): Refusal {
  return { kind: "refused", code, message };
}

/**
 * Refuses an upgrade so that a browser can see why: it is accepted, told Closed and closed (docs/wire-protocol.md,
 * "Player packets").
 */
export function refuseUpgrade({ code, message }: Refusal): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const writer = new ByteWriter();
  writePlayerPacket(writer, { kind: "closed", code, message });
  server.send(writer.finish());
  server.close(WEBSOCKET_CLOSE_BASE + code, message);
  return new Response(null, { status: 101, webSocket: client });
}
