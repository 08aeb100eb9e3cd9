import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** What went over one connection, in each direction. */
export class Recording {
  readonly #up: Buffer[] = [];
  readonly #down: Buffer[] = [];

  /** From the client. */
  get up(): Buffer {
    return Buffer.concat(this.#up);
  }

  /** To the client. */
  get down(): Buffer {
    return Buffer.concat(this.#down);
  }

  add(direction: "up" | "down", chunk: Buffer): void {
    (direction === "up" ? this.#up : this.#down).push(chunk);
  }
}

/** Somebody in the network between a client and a server, who records every byte, and can let messages get lost. */
export class WireTap {
  readonly recordings: Recording[] = [];
  /** What the client sends is recorded, and goes no further. */
  swallowing = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#join(client, connect({ host: "127.0.0.1", port: targetPort })));
  }

  static async open(targetPort: number): Promise<WireTap> {
    const tap = new WireTap(targetPort);
    tap.#server.listen(0, "127.0.0.1");
    await once(tap.#server, "listening");
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends what is connected now. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket, target: Socket): void {
    const recording = new Recording();
    this.recordings.push(recording);
    client.on("data", (chunk: Buffer) => {
      recording.add("up", chunk);
      if (!this.swallowing) target.write(chunk);
    });
    target.on("data", (chunk: Buffer) => {
      recording.add("down", chunk);
      client.write(chunk);
    });
    for (const [socket, other] of [[client, target] as const, [target, client] as const]) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
