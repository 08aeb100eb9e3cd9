/**
 * What `artoria-client/protocol` offers: the packets of docs/wire-protocol.md as values, for programs that speak to a bridge or a room
 * over a connection of their own. It needs neither Node nor a browser. Whatever is not listed here may change in any version.
 */

export { ClosedCode, type ClosedCodeName, closedCodeName, type ReconnectRule, reconnectRule } from "./closed-codes.ts";
export { ByteReader, ByteWriter } from "./packet-fields.ts";
export {
  HEADER_BYTES,
  MAX_PLAYER_PACKET_BYTES,
  MAX_SERVICE_PACKET_BYTES,
  PacketDecoder,
  ProtocolError,
  type ProtocolErrorCode,
  packetType,
} from "./packet-framing.ts";
export {
  decodePlayerPacket,
  isRoomName,
  MAX_BODY_BYTES,
  MAX_DATAGRAM_BYTES,
  MAX_ROOM_BYTES,
  PLAYER_PACKET_TYPES,
  type PlayerPacket,
  type PlayerToRoom,
  Presence,
  type RoomToPlayer,
  writePlayerPacket,
} from "./player-packets.ts";
export {
  type DecodedServiceRequest,
  decodeServiceRequest,
  decodeServiceResponse,
  type ErrorResponse,
  MAX_RESOURCE_BYTES,
  MAX_SERVICE_KEY_BYTES,
  MAX_USER_BYTES,
  type ServiceKeyResponse,
  type ServiceResponsePacket,
  writeServiceKey,
  writeServiceRequest,
  writeServiceResponse,
} from "./service-packets.ts";
export type { ServiceRequest, ServiceResponse, ServiceResponseTo } from "./session-request.ts";
export { formatToken, makeToken, parseToken, splitToken, TOKEN_BYTES, TOKEN_SECRET_BYTES } from "./session-token.ts";
export { Status, type StatusName, statusName, statusOf } from "./status-codes.ts";
export {
  decodeBridgePacket,
  decodeWatchRequest,
  type EndReason,
  MAX_POSITION_BYTES,
  type WatchNotice,
  type WatchRequest,
  type WatchResponse,
  type WatchScope,
  writeWatchNotice,
  writeWatchRequest,
  writeWatchResponse,
} from "./watch-packets.ts";
export { offeredSubprotocols, WEBSOCKET_SUBPROTOCOL } from "./web-socket-subprotocol.ts";
