import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Every answer of a load has this many bytes (docs/wire-protocol.md: size, type, status). */
const ANSWER_BYTES = 5;
const STATUS_OFFSET = 4;

/** A buffer of each connection, filled anew by every read. */
const READ_BYTES = 64 * 1024;

/**
 * One connection of a game server that asks in windows, as `redis-benchmark -P` does: so many packets in one write, and
 * when all are answered, the next. An answer other than Ok ends the load.
 */
export class PacketConnection {
  readonly #nextWindow: () => Uint8Array | undefined;
  readonly #windowAnswerBytes: number;
  readonly #socket: Socket;
  #answeredBytes = 0;
  #windows = 0;
  #untilMs = 0;
  #finished: (() => void) | undefined;

  private constructor(port: number, windowPackets: number, nextWindow: () => Uint8Array | undefined) {
    this.#nextWindow = nextWindow;
    this.#windowAnswerBytes = windowPackets * ANSWER_BYTES;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    this.#socket = connect({
      host: "127.0.0.1",
      port,
      noDelay: true,
      onread: {
        buffer,
        callback: (bytes) => {
          this.#receive(buffer, bytes);
          return true;
        },
      },
    });
  }

  static async open(
    port: number,
    windowPackets: number,
    nextWindow: () => Uint8Array | undefined,
  ): Promise<PacketConnection> {
    const connection = new PacketConnection(port, windowPackets, nextWindow);
    await once(connection.#socket, "connect");
    connection.#socket.on("close", () => {
      throw new Error("the server closed the connection");
    });
    return connection;
  }

  /** Asks until `untilMs` or the last window, then waits for the answers; resolves with the number of windows. */
  async run(untilMs: number): Promise<number> {
    this.#windows = 0;
    this.#untilMs = untilMs;
    const finished = new Promise<void>((resolve) => {
      this.#finished = resolve;
    });
    this.#ask();
    await finished;
    return this.#windows;
  }

  #receive(buffer: Buffer, bytes: number): void {
    const toStatus = (STATUS_OFFSET - (this.#answeredBytes % ANSWER_BYTES) + ANSWER_BYTES) % ANSWER_BYTES;
    for (let at = toStatus; at < bytes; at += ANSWER_BYTES) {
      if (buffer[at] !== 0) throw new Error(`an answer with status ${buffer[at]}`);
    }
    this.#answeredBytes += bytes;
    if (this.#answeredBytes < this.#windowAnswerBytes) return;
    this.#answeredBytes = 0;
    this.#windows += 1;
    this.#ask();
  }

  #ask(): void {
    const window = performance.now() < this.#untilMs ? this.#nextWindow() : undefined;
    if (window === undefined) this.#finished?.();
    else this.#socket.write(window);
  }
}
