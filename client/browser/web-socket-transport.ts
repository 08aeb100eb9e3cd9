import { closedCodeOfWebSocket } from "../../protocol/closed-codes.ts";
import { TOKEN_BYTES } from "../../protocol/session-token.ts";
import { offeredSubprotocols } from "../../protocol/web-socket-subprotocol.ts";
import { roomAddresses } from "../reliable/edge-url.ts";
import type { Transport, TransportConnection, TransportEvents } from "../reliable/transport.ts";

export interface WebSocketTransportOptions {
  /** The edge, `http://...` or `https://...`; by default where the page is from. */
  readonly edgeUrl?: string;
  /** The session's token, 27 characters; absent: the browser's cookie is used. */
  readonly token?: string | undefined;
}

/**
 * Rooms at the edge, by the browser's own WebSocket.
 *
 * @throws TypeError `edgeUrl` is not the address of an edge
 */
export function webSocketTransport({ edgeUrl = location.origin, token }: WebSocketTransportOptions = {}): Transport {
  const address = roomAddresses(edgeUrl);
  return {
    heartbeat: "text",
    joinToken: new Uint8Array(TOKEN_BYTES),
    open(room, events) {
      return new WebSocketConnection(new WebSocket(address(room), offeredSubprotocols(token)), events);
    },
  };
}

class WebSocketConnection implements TransportConnection {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, events: TransportEvents) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => events.opened());
    socket.addEventListener("message", ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (typeof data === "string") events.receivedText();
      else events.received(new Uint8Array(data));
    });
    // The event `error` has no details; `close` follows it.
    socket.addEventListener("close", ({ code, reason }) => {
      events.lost(reason === "" ? `close code ${code}` : reason, closedCodeOfWebSocket(code));
    });
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  write(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  writeText(text: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  close(): void {
    this.#socket.close();
  }
}
