import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** RFC 6455 §5.2. */
const OPCODE = { text: 1, binary: 2, close: 8 } as const;

const HEAD_END = "\r\n\r\n";

export interface RawWebSocketOptions {
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The authority of the server's certificate, PEM; with it the connection is TLS. */
  readonly ca?: string;
  /** A message; its bytes are valid until this returns. */
  readonly onMessage: (payload: Buffer) => void;
}

/** A connection on loopback, TLS with an authority, and plain TCP without. */
export async function openSocket(port: number, ca: string | undefined): Promise<Socket> {
  const host = "127.0.0.1";
  const socket = ca === undefined ? connect({ host, port }) : connectTls({ host, port, ca, minVersion: "TLSv1.3" });
  socket.setNoDelay(true);
  await once(socket, ca === undefined ? "connect" : "secureConnect");
  socket.on("error", () => socket.destroy());
  return socket;
}

/**
 * As much of a WebSocket as a load needs, for both sides alike: one frame per message, no compression. A full client would
 * need more of the machine than what it measures.
 */
export class RawWebSocket {
  readonly #socket: Socket;
  readonly #onMessage: (payload: Buffer) => void;
  #held: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, onMessage: (payload: Buffer) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
  }

  static async open({ port, path, headers = {}, ca, onMessage }: RawWebSocketOptions): Promise<RawWebSocket> {
    const socket = await openSocket(port, ca);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n${lines.join("")}\r\n`,
    );
    const [head] = (await once(socket, "data")) as [Buffer];
    // Loopback brings so short a head in one piece.
    const end = head.indexOf(HEAD_END);
    if (end < 0 || !head.toString("latin1", 0, end).startsWith("HTTP/1.1 101")) {
      throw new Error(`the upgrade was refused: ${head.toString("latin1", 0, 60)}`);
    }
    const webSocket = new RawWebSocket(socket, onMessage);
    webSocket.#receive(head.subarray(end + HEAD_END.length));
    socket.on("data", (chunk: Buffer) => webSocket.#receive(chunk));
    return webSocket;
  }

  /** Whether the other side, or {@link stop}, has ended it. */
  get isClosed(): boolean {
    return this.#socket.destroyed || this.#socket.readableEnded;
  }

  sendBinary(payload: Uint8Array): void {
    this.#send(OPCODE.binary, payload);
  }

  sendText(payload: string): void {
    this.#send(OPCODE.text, Buffer.from(payload));
  }

  async stop(): Promise<void> {
    this.#socket.destroy();
  }

  #send(opcode: number, payload: Uint8Array): void {
    const size = payload.byteLength;
    const lengthBytes = size < 126 ? 0 : 2;
    if (size > 0xffff) throw new Error("a load sends short messages only");
    const frame = Buffer.allocUnsafe(2 + lengthBytes + 4 + size);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | (lengthBytes === 0 ? size : 126);
    if (lengthBytes > 0) frame.writeUInt16BE(size, 2);
    // A mask of zeroes leaves the payload as it is.
    frame.writeUInt32BE(0, 2 + lengthBytes);
    frame.set(payload, 6 + lengthBytes);
    this.#socket.write(frame);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#held.byteLength === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let at = 0;
    while (bytes.byteLength - at >= 2) {
      const code = (bytes[at + 1] ?? 0) & 0x7f;
      const headBytes = code < 126 ? 2 : code === 126 ? 4 : 10;
      if (bytes.byteLength - at < headBytes) break;
      const size =
        code < 126 ? code : code === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
      const end = at + headBytes + size;
      if (end > bytes.byteLength) break;
      if (((bytes[at] ?? 0) & 0x0f) === OPCODE.close) this.#socket.end();
      else this.#onMessage(bytes.subarray(at + headBytes, end));
      at = end;
    }
    this.#held = bytes.subarray(at);
  }
}
