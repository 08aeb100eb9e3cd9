import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type SecureVersion, type TLSSocket } from "node:tls";
import { addressKey } from "./address-book.ts";
import { Admission, type Place } from "./admission.ts";
import type { ConnectionLimits, DisconnectCode, LimitCode } from "./connection-limits.ts";
import type { Session, SessionContext } from "./session.ts";

/** Where a port listens, and how. */
export interface Endpoint {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Absent: plaintext. */
  readonly tls?: TlsIdentity;
}

/** What a TLS port shows, and whom it believes. All texts are PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  /** Given, a peer must show a certificate of this authority (mutual TLS). */
  readonly clientCa?: string;
  readonly minVersion: SecureVersion;
}

/** What a port decides about its listener. */
export interface ListenerOptions {
  readonly limits: ConnectionLimits;
  /** The shortest time in ms of the port's own limits. */
  readonly shortestMs: number;
  /** What a connection over a limit is told before it is closed; only on a plaintext port, TLS has not begun. */
  readonly refusal: (code: LimitCode) => Uint8Array;
  /** A connection was refused. */
  readonly onRefused: (code: LimitCode) => void;
  /** A connection that had a session is over. */
  readonly onClosed: (code: DisconnectCode) => void;
  /** A session's callback threw, or the system refused an accept. */
  readonly onFault: (error: unknown) => void;
}

/** How often the sessions look at their clocks: half of the shortest time, at most this. */
const MAX_SWEEP_INTERVAL_MS = 1_000;

/** An accepted connection, the TLS one below its session if there is TLS. */
interface Admitted {
  readonly place: Place;
  readonly address: string;
  session: Session | undefined;
}

/** Accepts connections at an endpoint and makes a session for each. */
export class Listener {
  readonly #endpoint: Endpoint;
  readonly #createSession: (context: SessionContext) => Session;
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #admission: Admission;
  readonly #sessions = new Set<Session>();
  /** The sockets below the sessions, TLS handshakes included. */
  readonly #admitted = new Map<Socket, Admitted>();
  /** Those in a TLS handshake, by their two ends: Node does not say which socket is below a TLS socket. */
  readonly #handshakes = new Map<string, Admitted>();
  readonly #refused = new RefusedSockets();
  #draining = false;
  #sweepTimer: NodeJS.Timeout | undefined;
  #lastId = 0;

  constructor(endpoint: Endpoint, createSession: (context: SessionContext) => Session, options: ListenerOptions) {
    this.#endpoint = endpoint;
    this.#createSession = createSession;
    this.#options = options;
    this.#admission = new Admission(options.limits);
    this.#server = this.#createServer();
  }

  /** Connections, those in a TLS handshake included. */
  get connections(): number {
    return this.#admission.total;
  }

  /** Starts to listen. Rejects with the system's error, EADDRINUSE for one. */
  async open(): Promise<AddressInfo> {
    this.#server.listen({ host: this.#endpoint.host, port: this.#endpoint.port, backlog: 4096 });
    await once(this.#server, "listening");
    // An accept that fails (too many open files) is no reason to stop: the next may work.
    this.#server.on("error", this.#options.onFault);
    const { limits, shortestMs } = this.#options;
    const shortest = Math.min(limits.packetTimeoutMs, limits.idleMs, limits.writeStallTimeoutMs, shortestMs);
    const intervalMs = Math.min(MAX_SWEEP_INTERVAL_MS, shortest / 2);
    this.#sweepTimer = setInterval(() => this.#sweep(), intervalMs);
    return this.#server.address() as AddressInfo;
  }

  /**
   * Takes no more connections, lets every session answer what it has received, and resolves when all are gone; after
   * `deadlineMs` those that are left are disconnected.
   */
  async drain(deadlineMs: number): Promise<void> {
    const closed = this.#stopAccepting();
    this.#draining = true;
    for (const session of this.#sessions) session.drain();
    const deadline = setTimeout(() => this.#disconnectAll(), deadlineMs);
    await closed;
    clearTimeout(deadline);
    clearInterval(this.#sweepTimer);
  }

  /** Disconnects everybody. */
  async close(): Promise<void> {
    const closed = this.#stopAccepting();
    this.#disconnectAll();
    await closed;
    clearInterval(this.#sweepTimer);
  }

  #createServer(): Server {
    const { tls } = this.#endpoint;
    // Half-open: a peer that has sent its last request still gets its answers.
    const socketOptions = { allowHalfOpen: true, noDelay: true };
    if (tls === undefined) {
      return createServer(socketOptions, (socket) => {
        const admitted = this.#admit(socket);
        if (admitted !== undefined) this.#startSession(socket, admitted, false);
      });
    }
    const server = createTlsServer({
      ...socketOptions,
      cert: tls.cert,
      key: tls.key,
      minVersion: tls.minVersion,
      ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
      handshakeTimeout: this.#options.limits.packetTimeoutMs,
    });
    // The connection below TLS: a handshake takes a place too.
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
      // Its peer is gone already.
      if (admitted === undefined) socket.destroy();
      else this.#startSession(socket, admitted, tls.clientCa !== undefined);
    });
    server.on("tlsClientError", (_error, socket) => {
      this.#options.onRefused("tls_handshake");
      socket.destroy();
    });
    return server;
  }

  #admit(socket: Socket): Admitted | undefined {
    const address = addressKey(socket.remoteAddress);
    const place = this.#admission.admit(address, () => this.#evict(socket));
    if (typeof place !== "string") {
      const admitted: Admitted = { place, address, session: undefined };
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

  /** Its place is another's now. */
  #evict(socket: Socket): void {
    const session = this.#admitted.get(socket)?.session;
    if (session !== undefined) session.disconnect("evicted");
    else this.#options.onRefused("evicted");
    socket.destroy();
  }

  #startSession(socket: Socket, admitted: Admitted, isKnown: boolean): void {
    const { limits, onFault, onClosed } = this.#options;
    this.#lastId += 1;
    const context: SessionContext = {
      id: this.#lastId,
      socket,
      address: admitted.address,
      isKnown,
      place: admitted.place,
      limits,
      onFault,
      onClosed: (session, code) => {
        this.#sessions.delete(session);
        onClosed(code);
      },
    };
    try {
      const session = this.#createSession(context);
      this.#sessions.add(session);
      admitted.session = session;
      session.start();
      if (this.#draining) session.drain();
    } catch (error) {
      socket.destroy();
      onFault(error);
    }
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const session of this.#sessions) session.sweep(nowMs);
  }

  #disconnectAll(): void {
    for (const session of this.#sessions) session.disconnect("shutdown");
    for (const socket of this.#admitted.keys()) socket.destroy();
    this.#refused.destroyAll();
  }

  async #stopAccepting(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
    // The server is closed when the last handle is; that socket's own close event, and its session's end, come after.
    await Promise.all(Array.from(this.#admitted.keys(), (socket) => new Promise((gone) => socket.once("close", gone))));
  }
}

/** Unique while the connection lives. */
function endsOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** A refused peer has this long to read why. */
const LINGER_MS = 1_000;

/** So many may linger at once; in a flood the rest is closed without a word. */
export const MAX_LINGERING = 64;

/** The connections that were refused and are still being told why. */
export class RefusedSockets {
  readonly #lingering = new Set<Socket>();

  /** Sends the last bytes and closes. */
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
    // What it has sent is read and dropped: closing over unread bytes would reset the connection and lose the answer.
    socket.resume();
    socket.end(lastBytes);
  }

  destroyAll(): void {
    for (const socket of this.#lingering) socket.destroy();
  }
}
