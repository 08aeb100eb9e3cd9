import { exports } from "cloudflare:workers";
import type { Transport, TransportConnection, TransportEvents } from "../../../client/reliable/transport.ts";
import { closedCodeOfWebSocket } from "../../../protocol/closed-codes.ts";
import { TOKEN_BYTES } from "../../../protocol/session-token.ts";

/** A client's way to the worker under test, whose connections the test can cut. */
export class EdgeTransport implements Transport {
  readonly heartbeat = "text";
  readonly joinToken = new Uint8Array(TOKEN_BYTES);
  readonly #token: string;
  readonly #open = new Set<WebSocket>();

  constructor(token: string) {
    this.#token = token;
  }

  /** The network is gone, for what is connected now. */
  cut(): void {
    for (const socket of this.#open) socket.close(1001, "cut");
  }

  open(room: string, events: TransportEvents): TransportConnection {
    const headers = { Upgrade: "websocket", Authorization: `Bearer ${this.#token}` };
    let socket: WebSocket | undefined;
    const connect = async () => {
      const { webSocket } = await exports.default.fetch(
        new Request(`https://edge.test/v1/rooms/${room}/socket`, { headers }),
      );
      if (webSocket === null) throw new Error("the upgrade was refused");
      socket = webSocket;
      this.#listen(webSocket, events);
    };
    connect().catch(() => events.lost("the upgrade failed"));
    return {
      bufferedBytes: 0,
      write: (bytes) => send(socket, bytes),
      writeText: (text) => send(socket, text),
      close: () => socket?.close(1000, "closed"),
    };
  }

  #listen(socket: WebSocket, events: TransportEvents): void {
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") events.receivedText();
      else events.received(new Uint8Array(data));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#open.delete(socket);
      events.lost(reason, closedCodeOfWebSocket(code));
    });
    socket.accept();
    this.#open.add(socket);
    events.opened();
  }
}

function send(socket: WebSocket | undefined, message: Uint8Array | string): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(message);
}
