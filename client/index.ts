/// <reference types="node" preserve="true" />

/**
 * What `artoria-client` offers in Node: requests and watches for game servers and back ends, rooms over TLS and WebSocket, accounts
 * and webhooks for operators. Whatever is not listed here may change in any version.
 */

export { ClosedCode, closedCodeName } from "../protocol/closed-codes.ts";
export { MAX_BODY_BYTES, MAX_DATAGRAM_BYTES, Presence } from "../protocol/player-packets.ts";
export type { ClientLimits } from "../protocol/reliable/client/client-config.ts";
export type { ClientState } from "../protocol/reliable/client/client-connection.ts";
export type { ClientEvent, MessageEvent, SendResult } from "../protocol/reliable/client/client-output.ts";
export type { OutgoingMessage } from "../protocol/reliable/client/send-window.ts";
export type { ServiceRequest, ServiceResponse, ServiceResponseTo } from "../protocol/session-request.ts";
export { formatToken, parseToken, TOKEN_BYTES } from "../protocol/session-token.ts";
export { Status, type StatusName, statusName } from "../protocol/status-codes.ts";
export type { EndReason, WatchNotice, WatchRequest, WatchResponse, WatchScope } from "../protocol/watch-packets.ts";
export {
  AccountClient,
  type AccountClientOptions,
  type AccountVerdict,
  type AccountView,
} from "./account-client.ts";
export {
  ConnectionError,
  type ConnectionErrorCode,
  type ConnectOptions,
  Connector,
  type ConnectorOptions,
  type TlsTrust,
} from "./connector.ts";
export { type TlsTransportOptions, tlsTransport } from "./node/tls-transport.ts";
export { type WebSocketTransportOptions, webSocketTransport } from "./node/web-socket-transport.ts";
export type { ConnectionEvent, EventOf } from "./reliable/connection-events.ts";
export { ReliableConnection, type ReliableConnectionOptions } from "./reliable/reliable-connection.ts";
export type { Transport, TransportConnection, TransportEvents } from "./reliable/transport.ts";
export {
  type NoticeListener,
  ServiceClient,
  type ServiceClientOpenOptions,
  type ServiceClientOptions,
} from "./service-client.ts";
export { SessionWatch, type SessionWatchOptions, type WatchEvent } from "./session-watch.ts";
export { type ReceivedWebhook, WebhookReceiver, type WebhookReceiverOptions } from "./webhook-receiver.ts";
