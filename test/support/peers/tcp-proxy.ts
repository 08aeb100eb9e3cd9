import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A network between a client and a server: it cuts connections, and goes silent without ending them. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #refusing = false;
  /** Connections that have ever been made through it. */
  dials = 0;
  /** Everything that went through it towards the server. */
  readonly upstream: Buffer[] = [];

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#join(client, connect({ host: "127.0.0.1", port: targetPort })));
  }

  static async open(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Destroys what is connected now. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** What is connected now stays so, but no byte gets through any more: half-open, as after a change of network. */
  freeze(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.pause().removeAllListeners("data");
  }

  /** No byte gets through any more, neither on what is connected now nor on what is not yet: a partition, until {@link heal}. */
  isolate(): void {
    this.freeze();
    this.#refusing = true;
  }

  /** Ends what {@link isolate} has left half-open. */
  heal(): void {
    this.cut();
    this.restore();
  }

  /** New connections end at once, until {@link restore}. */
  refuse(): void {
    this.#refusing = true;
    this.cut();
  }

  restore(): void {
    this.#refusing = false;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket, target: Socket): void {
    const pair = [client, target] as const;
    this.dials += 1;
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [target, client] as const]) {
      from
        .setNoDelay(true)
        .on("error", () => undefined)
        .on("close", (hadError) => {
          // What it sent before it closed is still on its way.
          if (hadError) to.destroy();
          else to.end();
          if (to.closed) this.#pairs.delete(pair);
        });
    }
    client.on("data", (chunk: Buffer) => {
      this.upstream.push(chunk);
      target.write(chunk);
    });
    target.on("data", (chunk: Buffer) => client.write(chunk));
    if (this.#refusing) for (const socket of pair) socket.destroy();
  }
}

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
