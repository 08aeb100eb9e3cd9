import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ConnectionError } from "./connection-error.ts";

/** Where to connect, and how. */
export interface ConnectorOptions {
  readonly host: string;
  readonly port: number;
  /** Absent: plaintext. */
  readonly tls?: TlsTrust;
  /** For the connection and, with TLS, the handshake; 5 s by default. */
  readonly timeoutMs?: number;
}

/** Whom a TLS client believes, and what it shows. All texts are PEM. */
export interface TlsTrust {
  /** The authorities to believe; absent: those that Node knows. */
  readonly ca?: string;
  /** What a port with mutual TLS asks for. */
  readonly cert?: string;
  readonly key?: string;
}

const DEFAULT_TIMEOUT_MS = 5_000;

/** Dials out: the counterpart of a bridge's listener. */
export class Connector {
  readonly #options: ConnectorOptions;

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /**
   * Connects, and makes of the socket what is to live on it, before a byte can arrive.
   *
   * @throws ConnectionError `connect_failed` or `timeout`
   */
  async connect<T>(createSession: (socket: Socket) => T): Promise<T> {
    const { host, port, tls, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const socket = tls === undefined ? connect({ host, port }) : this.#dialTls(tls);
    const fail = (code: "connect_failed" | "timeout", reason: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new ConnectionError(code, `${host}:${port}: ${reason}`));
    };
    const onError = (error: Error): void => fail("connect_failed", describe(error));
    const timer = setTimeout(() => fail("timeout", `no connection within ${timeoutMs} ms`), timeoutMs);
    socket.on("error", onError);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", onError);
      socket.setNoDelay(true);
      resolve(createSession(socket));
    });
    return await promise;
  }

  #dialTls(tls: TlsTrust): Socket {
    const { host, port } = this.#options;
    // RFC 6066 §3: a server name is never an address.
    return connectTls({ host, port, ...tls, ...(isIP(host) === 0 ? { servername: host } : {}) });
  }
}

/** A dual-stack failure is an AggregateError, whose own message is empty. */
function describe(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join("; ");
  return error.message;
}
