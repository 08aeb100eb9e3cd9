import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, Server as TlsServer } from "node:tls";
import type { Logger } from "pino";
import type { AddressRange } from "../../config/address-ranges.ts";
import { Admission, addressKey, type Place } from "./admission.ts";
import type { Connection, ConnectionContext } from "./connection.ts";
import type { ConnectionLimits, DisconnectCode, LimitCode } from "./connection-limits.ts";
import { secureContextOptions, type TlsIdentity, type TlsPort } from "./tls-identity.ts";
import { TrustedProxies, warnOfProxies } from "./trusted-proxies.ts";

/** Where a port listens, and how. */
export interface Endpoint {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Absent: plaintext. */
  readonly tls?: TlsIdentity;
  /** If given, only these connect, each for a client that it names in a header of the PROXY protocol. */
  readonly proxies?: readonly AddressRange[];
}

/** What happens to the connections of a port. */
export interface PortObserver {
  /** A connection was refused. */
  readonly onRefused: (code: LimitCode) => void;
  /** An established connection ended. */
  readonly onClosed: (code: DisconnectCode) => void;
  /** A callback of a connection threw, or the system could not accept a connection. */
  readonly onFault: (error: unknown) => void;
}

/** How a port uses its listener. */
export interface ListenerOptions extends PortObserver {
  readonly limits: ConnectionLimits;
  /** The shortest of the port's own time limits: sweeps are at least twice as frequent. */
  readonly shortestMs: number;
  /** How long a proxy's header may take ({@link Endpoint.proxies}). */
  readonly headerMs: number;
  /** The bytes to send to a refused connection before it is closed. Not used on a TLS port, where the handshake has not begun. */
  readonly refusal: (code: LimitCode) => Uint8Array;
}

/** The longest time between two sweeps; otherwise it is half of the shortest limit. */
const MAX_SWEEP_INTERVAL_MS = 1_000;

/** An accepted connection: on a TLS port the TCP connection below TLS. */
interface Admitted {
  readonly place: Place;
  readonly address: string;
  connection: Connection | undefined;
}

/** Accepts sockets at an endpoint and creates a {@link Connection} for each. */
export class Listener implements TlsPort {
  readonly #endpoint: Endpoint;
  readonly #createConnection: (context: ConnectionContext) => Connection;
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #admission: Admission;
  readonly #proxies: TrustedProxies | undefined;
  readonly #openConnections = new Set<Connection>();
  /** By TCP socket, those in a TLS handshake included. */
  readonly #admitted = new Map<Socket, Admitted>();
  /** The connections in a TLS handshake, by {@link endsOf}: Node does not say which socket is below a TLS socket. */
  readonly #handshakes = new Map<string, Admitted>();
  readonly #refused = new RefusedSockets();
  #draining = false;
  #sweepTimer: NodeJS.Timeout | undefined;

  constructor(
    endpoint: Endpoint,
    createConnection: (context: ConnectionContext) => Connection,
    options: ListenerOptions,
  ) {
    this.#endpoint = endpoint;
    this.#createConnection = createConnection;
    this.#options = options;
    this.#admission = new Admission(options.limits);
    this.#server = this.#createServer();
    const { proxies: addresses, tls } = endpoint;
    const { headerMs, onRefused } = options;
    this.#proxies = addresses && new TrustedProxies({ addresses, headerMs, onRefused });
    this.#proxies?.standBefore(this.#server, tls !== undefined);
  }

  /** Connections, those in a TLS handshake included. */
  get connections(): number {
    return this.#admission.total;
  }

  /** Starts to listen. Rejects with the system's error, for example EADDRINUSE. */
  async open(): Promise<AddressInfo> {
    this.#server.listen({ host: this.#endpoint.host, port: this.#endpoint.port, backlog: 4096 });
    await once(this.#server, "listening");
    // A failed accept (too many open files) is no reason to stop: the next one may succeed.
    this.#server.on("error", this.#options.onFault);
    const { limits, shortestMs } = this.#options;
    const shortest = Math.min(limits.packetTimeoutMs, limits.idleMs, limits.writeStallTimeoutMs, shortestMs);
    const intervalMs = Math.min(MAX_SWEEP_INTERVAL_MS, shortest / 2);
    this.#sweepTimer = setInterval(() => this.#sweep(), intervalMs);
    return this.#server.address() as AddressInfo;
  }

  useIdentity(identity: TlsIdentity): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext(secureContextOptions(identity));
  }

  /**
   * Accepts no more connections, lets each respond to what it has received, and resolves when all have ended. After
   * `deadlineMs` the remaining ones are disconnected.
   */
  async drain(deadlineMs: number): Promise<void> {
    const closed = this.#stopAccepting();
    this.#draining = true;
    for (const connection of this.#openConnections) connection.drain();
    const deadline = setTimeout(() => this.#disconnectAll(), deadlineMs);
    await closed;
    clearTimeout(deadline);
    clearInterval(this.#sweepTimer);
  }

  /** Disconnects all connections. */
  async close(): Promise<void> {
    const closed = this.#stopAccepting();
    this.#disconnectAll();
    await closed;
    clearInterval(this.#sweepTimer);
  }

  #createServer(): Server {
    const { tls } = this.#endpoint;
    // Half-open: a peer that closes its side after its last request still gets its responses.
    const socketOptions = { allowHalfOpen: true, noDelay: true };
    if (tls === undefined) {
      return createServer(socketOptions, (socket) => {
        const admitted = this.#admit(socket);
        if (admitted !== undefined) this.#startConnection(socket, admitted, false);
      });
    }
    const server = createTlsServer({
      ...socketOptions,
      ...secureContextOptions(tls),
      ...(tls.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
      handshakeTimeout: this.#options.limits.packetTimeoutMs,
    });
    // The TCP connection below TLS: a handshake takes a place too.
    server.on("connection", (socket: Socket) => {
      const admitted = this.#admit(socket);
      if (admitted === undefined) return;
      const ends = endsOf(socket);
      this.#handshakes.set(ends, admitted);
      socket.once("close", () => {
        if (this.#handshakes.get(ends) === admitted) this.#handshakes.delete(ends);
      });
    });
    server.on("secureConnection", (socket: TLSSocket) => {
      const ends = endsOf(socket);
      const admitted = this.#handshakes.get(ends);
      this.#handshakes.delete(ends);
      // The TCP connection is closed already.
      if (admitted === undefined) socket.destroy();
      else this.#startConnection(socket, admitted, tls.clientCa !== undefined);
    });
    server.on("tlsClientError", (_error, socket) => {
      this.#options.onRefused("tls_handshake");
      socket.destroy();
    });
    return server;
  }

  #admit(socket: Socket): Admitted | undefined {
    const address = addressKey(this.#proxies === undefined ? socket.remoteAddress : this.#proxies.addressOf(socket));
    const place = this.#admission.admit(address, () => this.#evict(socket));
    if (typeof place !== "string") {
      const admitted: Admitted = { place, address, connection: undefined };
      this.#admitted.set(socket, admitted);
      socket.once("close", () => {
        this.#admitted.delete(socket);
        place.release();
      });
      return admitted;
    }
    this.#options.onRefused(place);
    if (this.#endpoint.tls === undefined) this.#refused.end(socket, this.#options.refusal(place));
    else socket.destroy();
    return undefined;
  }

  /** The place was given to another connection. */
  #evict(socket: Socket): void {
    const connection = this.#admitted.get(socket)?.connection;
    if (connection !== undefined) connection.disconnect("evicted");
    else this.#options.onRefused("evicted");
    socket.destroy();
  }

  #startConnection(socket: Socket, admitted: Admitted, isKnown: boolean): void {
    const { limits, onFault, onClosed } = this.#options;
    const context: ConnectionContext = {
      socket,
      address: admitted.address,
      isKnown,
      place: admitted.place,
      limits,
      onFault,
      onClosed: (connection, code) => {
        this.#openConnections.delete(connection);
        onClosed(code);
      },
    };
    try {
      const connection = this.#createConnection(context);
      this.#openConnections.add(connection);
      admitted.connection = connection;
      connection.start();
      if (this.#draining) connection.drain();
    } catch (error) {
      socket.destroy();
      onFault(error);
    }
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#openConnections) connection.sweep(nowMs);
  }

  #disconnectAll(): void {
    for (const connection of this.#openConnections) connection.disconnect("shutdown");
    for (const socket of this.#admitted.keys()) socket.destroy();
    this.#refused.destroyAll();
  }

  async #stopAccepting(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#proxies?.destroyAll();
    await closed;
    // The server's close event comes before that of the last socket, which ends its connection.
    await Promise.all(Array.from(this.#admitted.keys(), (socket) => new Promise((gone) => socket.once("close", gone))));
  }
}

/** An observer that counts and logs. `what` is the subject of the log lines. */
export function countAndLog(what: string, metrics: PortMetrics, logger: Logger): PortObserver {
  return {
    onRefused: countRefusals(what, (code) => metrics.refused(code), logger),
    onClosed: (code) => {
      metrics.disconnected(code);
      logger.debug({ code }, `${what} ended`);
    },
    onFault: (error) => logger.error({ err: error }, `${what} failed`),
  };
}

/** The part of {@link countAndLog} for refused connections and requests. */
export function countRefusals(
  what: string,
  count: (code: LimitCode) => void,
  logger: Logger,
): PortObserver["onRefused"] {
  const warn = warnOfProxies(what, logger);
  return (code) => {
    count(code);
    warn(code);
    logger.debug({ code }, `${what} was refused`);
  };
}

/** The counters of a port's connections. */
export interface PortMetrics {
  refused(code: LimitCode): void;
  disconnected(code: DisconnectCode): void;
}

/** The two ends of a connection: unique while it is open. */
export function endsOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** How long a refused peer may take to read the reason. */
const LINGER_MS = 1_000;

/** The most refused connections that are open at the same time. In a flood, further ones are closed without a response. */
export const MAX_LINGERING = 64;

/** The refused connections that are still sent the reason. */
class RefusedSockets {
  readonly #lingering = new Set<Socket>();

  /** Sends the last bytes, then closes the connection. */
  end(socket: Socket, lastBytes: Uint8Array): void {
    socket.on("error", () => socket.destroy());
    if (this.#lingering.size >= MAX_LINGERING) {
      socket.destroy();
      return;
    }
    this.#lingering.add(socket);
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once("close", () => {
      clearTimeout(timer);
      this.#lingering.delete(socket);
    });
    // The peer's bytes are read and dropped: closing with unread bytes would reset the connection and lose the response.
    socket.resume();
    socket.end(lastBytes);
  }

  destroyAll(): void {
    for (const socket of this.#lingering) socket.destroy();
  }
}
