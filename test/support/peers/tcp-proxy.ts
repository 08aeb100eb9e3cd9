import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** What went over one connection. */
export interface Recording {
  readonly fromClient: Buffer;
  readonly toClient: Buffer;
}

/** One connection: of the client to the proxy, and of the proxy to the server. */
interface Pair {
  readonly client: Socket;
  readonly target: Socket;
  /** What the client sent first. */
  opening: string;
}

/** Enough to tell a request by. */
const OPENING_BYTES = 64;

/**
 * A network between a client and a server. It cuts connections, goes silent without ending them, and, if asked to, records
 * every byte.
 */
export class TcpProxy {
  /** Connections that have ever been made through it. */
  dials = 0;
  /** What clients send goes no further. */
  swallowing = false;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #recorded: { fromClient: Buffer[]; toClient: Buffer[] }[] = [];
  readonly #records: boolean;
  #refusing = false;
  #held: RegExp | undefined;

  private constructor(targetPort: number, records: boolean) {
    this.#records = records;
    this.#server = createServer((client) => this.#join(client, connect({ host: "127.0.0.1", port: targetPort })));
  }

  /** Listens on a free loopback port; with `records` it fills {@link recordings}. */
  static async open(targetPort: number, { records = false } = {}): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort, records);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** One for each connection, in the order in which they were made. */
  get recordings(): readonly Recording[] {
    return this.#recorded.map(({ fromClient, toClient }) => ({
      fromClient: Buffer.concat(fromClient),
      toClient: Buffer.concat(toClient),
    }));
  }

  /** Destroys what is connected now, or what of it begins like this. */
  cut(opening = /^/): void {
    for (const { client, target } of this.#beginningWith(opening)) {
      client.destroy();
      target.destroy();
    }
  }

  /** Lets no byte through on connections that begin like this, until {@link release}; then all that was sent arrives. */
  hold(opening: RegExp): void {
    this.#held = opening;
    for (const { client, target } of this.#beginningWith(opening)) {
      client.pause();
      target.pause();
    }
  }

  release(): void {
    const held = this.#held ?? /^/;
    this.#held = undefined;
    for (const { client, target } of this.#beginningWith(held)) {
      client.resume();
      target.resume();
    }
  }

  /** What is connected now stays so, but no byte gets through any more: half-open, as after a change of network. */
  freeze(): void {
    for (const { client, target } of this.#pairs) {
      for (const socket of [client, target]) socket.pause().removeAllListeners("data");
    }
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

  #beginningWith(opening: RegExp): readonly Pair[] {
    return [...this.#pairs].filter((pair) => opening.test(pair.opening));
  }

  #join(client: Socket, target: Socket): void {
    const pair: Pair = { client, target, opening: "" };
    this.dials += 1;
    this.#pairs.add(pair);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
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
    const recorded = { fromClient: [] as Buffer[], toClient: [] as Buffer[] };
    if (this.#records) this.#recorded.push(recorded);
    client.on("data", (chunk: Buffer) => {
      if (pair.opening === "") pair.opening = chunk.toString("latin1", 0, OPENING_BYTES);
      if (this.#held?.test(pair.opening) === true) {
        client.pause().unshift(chunk);
        return;
      }
      if (this.#records) recorded.fromClient.push(chunk);
      if (!this.swallowing) target.write(chunk);
    });
    target.on("data", (chunk: Buffer) => {
      if (this.#records) recorded.toClient.push(chunk);
      client.write(chunk);
    });
    if (this.#refusing) for (const socket of [client, target]) socket.destroy();
  }
}
