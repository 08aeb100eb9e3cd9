import type { Server, Socket } from "node:net";
import type { Logger } from "pino";
import { type AddressRange, isInRanges } from "../../config/address-ranges.ts";
import { addressKey } from "./admission.ts";
import { ProxyHeaderReader } from "./proxy-protocol.ts";

/** Why a connection to a port of proxies was refused. */
export type ProxyRefusal =
  /** It came from elsewhere. */
  | "untrusted_proxy"
  /** It showed no header, a broken one, or a part of one for too long. */
  | "proxy_header"
  /** Too many others waited for their header, and it was the oldest. */
  | "evicted";

/** How a port takes connections from proxies. */
export interface TrustedProxiesOptions {
  readonly addresses: readonly AddressRange[];
  /** How long a header may take from the start of the connection. */
  readonly headerMs: number;
  readonly onRefused: (code: ProxyRefusal) => void;
}

/**
 * The most connections of a port that have not shown their header. A proxy sends it at once, so hardly one waits, however many clients
 * come; these bounds are for whoever else can connect from a proxy's address.
 */
export const MAX_AWAITED_HEADERS = 512;

/**
 * Stands before a server whose clients come through proxies: refuses whoever is none of them, reads the header of the PROXY protocol
 * ({@link ProxyHeaderReader}), and only then gives the connection to the server, with the bytes that follow.
 *
 * A proxy's connection for itself is given on with its first byte. So a health check that only connects reaches nothing and is no failure.
 */
export class TrustedProxies {
  readonly #options: TrustedProxiesOptions;
  /** In the order in which they connected. */
  readonly #awaited = new Set<AwaitedHeader>();
  readonly #clients = new WeakMap<Socket, string>();

  constructor(options: TrustedProxiesOptions) {
    this.#options = options;
  }

  /** The address of a connection that was given on: that of the client, or of the proxy if it has connected for itself. */
  addressOf(socket: Socket): string | undefined {
    return this.#clients.get(socket) ?? socket.remoteAddress;
  }

  /**
   * Takes the place of everybody who listens for the server's connections so far, Node's own TLS and HTTP included, and gives them a
   * connection when its header is read. `usesTls`: TLS reads the connection by itself.
   */
  standBefore(server: Server, usesTls: boolean): void {
    const listeners = server.listeners("connection") as ((socket: Socket) => void)[];
    server.removeAllListeners("connection");
    server.on("connection", (socket) => {
      this.#receive(socket, () => {
        // Otherwise nobody would read what was put back. Who is given the connection may pause it again.
        if (!usesTls) socket.resume();
        for (const listener of listeners) listener.call(server, socket);
      });
    });
  }

  /** Ends all connections that have not shown their header. */
  destroyAll(): void {
    for (const awaited of this.#awaited) awaited.end();
  }

  #receive(socket: Socket, giveOn: () => void): void {
    const { addresses, headerMs, onRefused } = this.#options;
    const { remoteAddress } = socket;
    // Without an address it is gone already.
    if (remoteAddress === undefined || !isInRanges(remoteAddress, addresses)) {
      socket.on("error", () => undefined).destroy();
      if (remoteAddress !== undefined) onRefused("untrusted_proxy");
      return;
    }
    const [oldest] = this.#awaited;
    if (oldest !== undefined && this.#awaited.size >= MAX_AWAITED_HEADERS) oldest.refuse("evicted");
    const awaited = new AwaitedHeader(socket, headerMs, {
      onEnd: () => this.#awaited.delete(awaited),
      onRefused,
      onClient: (address) => {
        if (address !== undefined) this.#clients.set(socket, address);
        giveOn();
      },
    });
    this.#awaited.add(awaited);
  }
}

/** What an operator mends when one of these codes is counted; said once for each port. */
const ADVICE: Readonly<Record<string, string | undefined>> = {
  untrusted_proxy: "refused: its address is not in TRUSTED_PROXIES",
  proxy_header:
    "refused: a proxy of TRUSTED_PROXIES sent no whole PROXY header (HAProxy: send-proxy-v2; nginx: proxy_protocol on)",
};

/** Warns of the first connection of a kind that proxies should not cause. `what` is the subject of the log lines. */
export function warnOfProxies(what: string, logger: Pick<Logger, "warn">): (code: string) => void {
  const said = new Set<string>();
  return (code) => {
    const advice = ADVICE[code];
    if (advice === undefined || said.has(code)) return;
    said.add(code);
    logger.warn({ code }, `${what} was ${advice}; further ones are only counted`);
  };
}

interface AwaitedHeaderEvents {
  /** It waits no longer. */
  readonly onEnd: () => void;
  readonly onRefused: (code: ProxyRefusal) => void;
  /** The header was read, and what follows it was put back. Undefined: the proxy has connected for itself. */
  readonly onClient: (address: string | undefined) => void;
}

/** A connection of a proxy that has not shown its header yet. */
class AwaitedHeader {
  readonly #socket: Socket;
  readonly #events: AwaitedHeaderEvents;
  readonly #reader = new ProxyHeaderReader();
  readonly #deadline: NodeJS.Timeout;
  /** The proxy has connected for itself. */
  #isLocal = false;

  constructor(socket: Socket, headerMs: number, events: AwaitedHeaderEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#deadline = setTimeout(() => (this.#isLocal ? this.end() : this.refuse("proxy_header")), headerMs);
    socket.on("data", this.#onData).on("end", this.#onEnd).on("error", this.#onEnd).on("close", this.#onEnd);
  }

  /** Ends the connection without a response. */
  end(): void {
    this.#leave();
    this.#socket.on("error", () => undefined).destroy();
  }

  refuse(code: ProxyRefusal): void {
    this.end();
    this.#events.onRefused(code);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isLocal) {
      this.#giveOn(undefined, chunk);
      return;
    }
    const header = this.#reader.push(chunk);
    if (header.kind === "invalid") this.refuse("proxy_header");
    if (header.kind === "client" && !this.#isSelf(header)) this.#giveOn(header.address, header.rest);
    else if (header.kind === "client" || header.kind === "local") {
      this.#isLocal = true;
      if (header.rest.byteLength > 0) this.#giveOn(undefined, header.rest);
    }
  };

  /** Whether a client is the proxy: version 1 has no LOCAL, and HAProxy's health checks name their own end of the connection. */
  #isSelf({ address, port }: { readonly address: string; readonly port: number }): boolean {
    const { remoteAddress, remotePort } = this.#socket;
    return port === remotePort && addressKey(address) === addressKey(remoteAddress);
  }

  /** Who has sent no byte has only looked whether the port is open. */
  readonly #onEnd = (): void => {
    if (this.#isLocal || this.#reader.heldBytes === 0) this.end();
    else this.refuse("proxy_header");
  };

  #giveOn(address: string | undefined, rest: Uint8Array): void {
    const socket = this.#socket;
    this.#leave();
    socket.pause();
    if (rest.byteLength > 0) socket.unshift(rest);
    this.#events.onClient(address);
  }

  #leave(): void {
    clearTimeout(this.#deadline);
    const socket = this.#socket;
    socket.off("data", this.#onData).off("end", this.#onEnd).off("error", this.#onEnd).off("close", this.#onEnd);
    this.#events.onEnd();
  }
}
