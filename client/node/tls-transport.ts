import type { Socket } from "node:net";
import { requireToken } from "../../protocol/session-token.ts";
import { Connector, type TlsTrust } from "../connector.ts";
import type { Transport, TransportConnection, TransportEvents } from "../reliable/transport.ts";

export interface TlsTransportOptions {
  readonly host: string;
  /** A bridge's player port. */
  readonly port: number;
  /** The session's 20 bytes: `parseToken` makes them from its text. */
  readonly token: Uint8Array;
  readonly trust?: TlsTrust;
}

/** How long the peer may take to read what was written, and to close its side. */
const LINGER_MS = 2_000;

/**
 * Rooms through a bridge's player port: TLS 1.3 over TCP.
 *
 * @throws TypeError the token has not 20 bytes
 */
export function tlsTransport({ host, port, token, trust = {} }: TlsTransportOptions): Transport {
  requireToken(token);
  const connector = new Connector({ host, port, tls: { ...trust, minVersion: "TLSv1.3" } });
  return { heartbeat: "packet", joinToken: token, open: (_room, events) => new TlsConnection(connector, events) };
}

class TlsConnection implements TransportConnection {
  readonly #events: TransportEvents;
  readonly #givenUp = new AbortController();
  #socket: Socket | undefined;

  constructor(connector: Connector, events: TransportEvents) {
    this.#events = events;
    connector
      .connect((socket) => this.#take(socket), {
        onTcpConnected: () => events.connected(),
        signal: this.#givenUp.signal,
      })
      .catch((error: Error) => events.lost(error.message));
  }

  get bufferedBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  writeText(): void {
    throw new Error("over TCP there is no text");
  }

  close(): void {
    this.#givenUp.abort();
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed) return;
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once("close", () => clearTimeout(timer));
  }

  #take(socket: Socket): void {
    this.#socket = socket;
    let reason = "the connection was closed";
    socket.on("data", (chunk: Buffer) => this.#events.received(chunk));
    socket.on("error", (error) => {
      reason = error.message;
    });
    socket.on("close", () => this.#events.lost(reason));
    this.#events.opened();
  }
}
