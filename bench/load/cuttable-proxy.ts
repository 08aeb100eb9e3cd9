import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a server on loopback that can be cut, as a network does it: both ends lose the connection, none says a word. */
export class CuttableProxy {
  readonly #pairs = new Set<readonly Socket[]>();
  readonly #server = createServer({ noDelay: true }, (near) => this.#pass(near));
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
  }

  static async open(port: number): Promise<CuttableProxy> {
    const proxy = new CuttableProxy(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends what is connected now; new connections are let through. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  #pass(near: Socket): void {
    const far = connect({ host: "127.0.0.1", port: this.#port, noDelay: true });
    const pair = [near, far];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    near.pipe(far);
    far.pipe(near);
  }
}
