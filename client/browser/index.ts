/**
 * What `artoria-client/browser` offers: rooms over the browser's own WebSocket. It imports no module of Node. Whatever is not listed
 * here may change in any version.
 */

export { ClosedCode, closedCodeName } from "../../protocol/closed-codes.ts";
export { MAX_BODY_BYTES, MAX_DATAGRAM_BYTES, Presence } from "../../protocol/player-packets.ts";
export type { ClientLimits } from "../../protocol/reliable/client/client-config.ts";
export type { ClientState } from "../../protocol/reliable/client/client-connection.ts";
export type { ClientEvent, MessageEvent, SendResult } from "../../protocol/reliable/client/client-output.ts";
export type { OutgoingMessage } from "../../protocol/reliable/client/send-window.ts";
export type { ConnectionEvent, EventOf } from "../reliable/connection-events.ts";
export { ReliableConnection, type ReliableConnectionOptions } from "../reliable/reliable-connection.ts";
export type { Transport, TransportConnection, TransportEvents } from "../reliable/transport.ts";
export { type WebSocketTransportOptions, webSocketTransport } from "./web-socket-transport.ts";
