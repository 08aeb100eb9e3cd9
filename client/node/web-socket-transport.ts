import { type RawData, WebSocket } from "ws";
import { closedCodeOfWebSocket } from "../../protocol/closed-codes.ts";
import { formatToken, requireToken, TOKEN_BYTES } from "../../protocol/session-token.ts";
import { roomAddresses } from "../reliable/edge-url.ts";
import type { Transport, TransportConnection, TransportEvents } from "../reliable/transport.ts";

export interface WebSocketTransportOptions {
  /** The edge, `http://...` or `https://...`. */
  readonly edgeUrl: string;
  /** The session's 20 bytes: `parseToken` makes them from its text. */
  readonly token: Uint8Array;
}

/** A room sends at most 1 MiB before an Ack, so a message of more than four times that is not from a room. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** How long the peer may take to close its side. */
const LINGER_MS = 2_000;

/**
 * Rooms at the edge, by WebSocket, for Node. The upgrade carries the token.
 *
 * @throws TypeError `edgeUrl` is not the address of an edge, or the token has not 20 bytes
 */
export function webSocketTransport({ edgeUrl, token }: WebSocketTransportOptions): Transport {
  requireToken(token);
  const address = roomAddresses(edgeUrl);
  return {
    heartbeat: "text",
    joinToken: new Uint8Array(TOKEN_BYTES),
    open(room, events) {
      const socket = new WebSocket(address(room), {
        headers: { Authorization: `Bearer ${formatToken(token)}` },
        perMessageDeflate: false,
        maxPayload: MAX_MESSAGE_BYTES,
      });
      return new WebSocketConnection(socket, events);
    },
  };
}

class WebSocketConnection implements TransportConnection {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, events: TransportEvents) {
    this.#socket = socket;
    let reason: string | undefined;
    socket.on("open", () => events.opened());
    socket.on("message", (data: RawData, isBinary: boolean) => {
      // With the binaryType "nodebuffer" it is one Buffer.
      if (isBinary) events.received(data as Buffer);
      else events.receivedText();
    });
    socket.on("error", (error) => {
      reason = error.message;
    });
    socket.on("close", (code, text) => {
      const said = text.length === 0 ? `close code ${code}` : `close code ${code}: ${text}`;
      events.lost(reason ?? said, closedCodeOfWebSocket(code));
    });
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  writeText(text: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  close(): void {
    const socket = this.#socket;
    socket.close(1000);
    const timer = setTimeout(() => socket.terminate(), LINGER_MS);
    socket.once("close", () => clearTimeout(timer));
  }
}
