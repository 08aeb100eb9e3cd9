import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, TLSSocket } from "node:tls";

/** Where to connect, and how. */
export interface ConnectorOptions {
  readonly host: string;
  readonly port: number;
  /** Absent: plaintext. */
  readonly tls?: TlsTrust;
  /** For the connection and, with TLS, the handshake; 5 s by default. */
  readonly timeoutMs?: number;
}

/** Which certificates a TLS client trusts, and its own. All texts are PEM. */
export interface TlsTrust {
  /** The authorities to trust; absent: those of Node. */
  readonly ca?: string;
  /** The client's certificate, for a port with mutual TLS. */
  readonly cert?: string;
  readonly key?: string;
  /**
   * SHA-256 of the one certificate to trust, in hex with or without colons. It replaces the checks of the authority and of the
   * host's name.
   */
  readonly fingerprint?: string;
  /** Absent: the default of Node. */
  readonly minVersion?: "TLSv1.3";
}

/** How one connection is made. */
export interface ConnectOptions {
  /** TCP is connected; with TLS, the handshake begins. */
  readonly onTcpConnected?: () => void;
  /** Cancels the attempt. */
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 5_000;

/** Opens connections: the counterpart of a bridge's listener. */
export class Connector {
  readonly #options: ConnectorOptions;

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /**
   * Connects, and calls `createSession` with the socket before a byte can arrive.
   *
   * @throws ConnectionError `connect_failed`, `timeout`, or `closed` by the signal
   */
  async connect<T>(createSession: (socket: Socket) => T, options: ConnectOptions = {}): Promise<T> {
    const { onTcpConnected, signal } = options;
    const { host, port, tls, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    return await new Promise((resolve, reject) => {
      const socket = tls === undefined ? connect({ host, port }) : this.#dialTls(tls);
      const fail = (code: ConnectionErrorCode, reason: string): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        socket.destroy();
        reject(new ConnectionError(code, `${host}:${port}: ${reason}`));
      };
      const onError = (error: Error): void => fail("connect_failed", describe(error));
      const onAbort = (): void => fail("closed", "given up");
      const timer = setTimeout(() => {
        const isHandshake = tls !== undefined && !socket.connecting;
        const missing = isHandshake ? "no TLS handshake" : "no connection";
        fail("timeout", `${missing} within ${timeoutMs} ms${isHandshake ? ": does the port speak TLS?" : ""}`);
      }, timeoutMs);
      socket.on("error", onError);
      signal?.addEventListener("abort", onAbort);
      if (onTcpConnected !== undefined) socket.once("connect", onTcpConnected);
      socket.once(tls === undefined ? "connect" : "secureConnect", () => {
        if (tls?.fingerprint !== undefined && !hasFingerprint(socket, tls.fingerprint)) {
          fail("connect_failed", "the certificate is not the one with this fingerprint");
          return;
        }
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        socket.off("error", onError);
        socket.setNoDelay(true);
        resolve(createSession(socket));
      });
    });
  }

  #dialTls(tls: TlsTrust): Socket {
    const { host, port } = this.#options;
    const { fingerprint, ...trust } = tls;
    return connectTls({
      host,
      port,
      ...trust,
      // connect() checks the certificate instead of Node, before a byte is sent.
      rejectUnauthorized: fingerprint === undefined,
      // RFC 6066 §3: a server name is never an address.
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
  }
}

function hasFingerprint(socket: Socket, expected: string): boolean {
  if (!(socket instanceof TLSSocket)) return false;
  const { fingerprint256 } = socket.getPeerCertificate();
  return plainHex(fingerprint256 ?? "") === plainHex(expected);
}

function plainHex(fingerprint: string): string {
  return fingerprint.replaceAll(":", "").toLowerCase();
}

/** A dual-stack failure is an AggregateError, whose own message is empty. */
function describe(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join("; ");
  return error.message;
}

/** Stable codes of why a request got no response. */
export type ConnectionErrorCode =
  /** No connection could be made. */
  | "connect_failed"
  /** The peer did not respond in time. */
  | "timeout"
  /** The connection was closed by either side. */
  | "closed"
  /** The peer sent something that is no response to the request. */
  | "bad_response"
  /** The peer refused a request, or the connection, with an ErrorResponse. */
  | "refused"
  /** The request does not fit into a packet; it was not sent. */
  | "too_large";

/** A request has no verdict, and why. Whether it took effect is unknown unless the code says so. */
export class ConnectionError extends Error {
  readonly code: ConnectionErrorCode;

  constructor(code: ConnectionErrorCode, message: string) {
    super(message);
    this.name = "ConnectionError";
    this.code = code;
  }
}
