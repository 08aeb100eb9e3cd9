import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { io } from "socket.io-client";
import { webSocketTransport } from "../../client/node/web-socket-transport.ts";
import { ReliableConnection } from "../../client/reliable/reliable-connection.ts";
import { parseToken } from "../../protocol/session-token.ts";

/** A player with the client that its side offers, set up as that one's defaults are. */
export interface ResumingPlayer {
  publish(text: string): void;
  /** Whether it is in its room, on the seat that it had. */
  readonly isEstablished: boolean;
}

export interface PlayerEvents {
  received(text: string): void;
  /** {@link ResumingPlayer.isEstablished} may have changed. */
  changed(): void;
}

export interface PlayerOptions extends PlayerEvents {
  readonly port: number;
  readonly room: string;
}

/** Our client, by WebSocket. */
export function artoriaPlayer({ port, room, received, changed }: PlayerOptions, tokenText: string): ResumingPlayer {
  const token = parseToken(tokenText);
  if (token === undefined) throw new Error("a token that is none");
  const transport = webSocketTransport({ edgeUrl: `http://127.0.0.1:${port}`, token });
  const player = new ReliableConnection({ transport, room });
  player.on("message", ({ body }) => received(Buffer.from(body).toString()));
  player.on("state", changed);
  for (const kind of ["gap", "handoverFailed", "closed"] as const) {
    player.on(kind, () => {
      throw new Error(`a player of ours met ${kind}`);
    });
  }
  player.connect();
  return {
    publish: (text) => void player.send(Buffer.from(text)),
    get isEstablished() {
      return player.state === "Established";
    },
  };
}

/** Socket.IO's client. `delayMs` in place of its default delay before it connects again. */
export function socketIoPlayer({ port, room, received, changed }: PlayerOptions, delayMs?: number): ResumingPlayer {
  const delay = delayMs === undefined ? {} : { reconnectionDelay: delayMs, randomizationFactor: 0 };
  const socket = io(`http://127.0.0.1:${port}`, {
    transports: ["websocket"],
    forceNew: true,
    query: { room },
    ...delay,
  });
  let connectedBefore = false;
  socket.on("m", (text: string) => received(text));
  socket.on("connect", () => {
    if (connectedBefore && !socket.recovered) throw new Error("Socket.IO did not recover a connection");
    connectedBefore = true;
    changed();
  });
  return {
    publish: (text) => void socket.emit("m", text),
    get isEstablished() {
      return socket.connected;
    },
  };
}

/** A TCP proxy to a server on loopback that can cut its connections, as a failing network does: neither end sends a byte. */
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

  /** Ends the present connections; new ones are let through. */
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
