import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { type TLSSocket, Server as TlsServer } from "node:tls";
import { isLoopbackHost } from "../../config/loopback.ts";
import type { CheckResponse } from "../../protocol/check/check-response.ts";
import { AddressBook, type AddressRecord, FailureWindow, type PlaceLimits } from "../core/admission.ts";
import type { LimitCode } from "../core/connection-limits.ts";
import { type HttpPeer, HttpPlaces } from "../core/http-places.ts";
import type { Endpoint } from "../core/listener.ts";
import { secureContextOptions, type TlsIdentity, type TlsPort } from "../core/tls-identity.ts";
import { TrustedProxies } from "../core/trusted-proxies.ts";
import { answerCheck, type ReceivedRequest, refuse } from "./check-answer.ts";
import type { SessionLookup } from "./edge-lookup.ts";
import { PlainConnection, type PlainConnectionOptions } from "./plain-connection.ts";

/** The limits of the check port. */
export interface CheckPortLimits extends PlaceLimits {
  /** How long the headers may take from the start of the connection or the request. */
  readonly headersMs: number;
  /** How long the whole request may take, its body included, and a response that is not read. */
  readonly requestMs: number;
  /** A connection without a request for this time is closed. Proxies keep theirs open: longer than they do. */
  readonly idleMs: number;
  /** Tokens of no session that an address may show in a minute. Then the responses to further ones are delayed. */
  readonly maxFailuresPerMinute: number;
  /** How long they are delayed. */
  readonly failureDelayMs: number;
}

/** Where the check port listens, and how. */
export interface CheckPortConfig {
  readonly endpoint: Endpoint;
  readonly limits: CheckPortLimits;
}

/** What the check port needs. */
export interface CheckPortParts {
  readonly lookup: SessionLookup;
  readonly metrics: CheckPortMetrics;
  /** A connection or a request was refused. */
  readonly onRefused: (code: LimitCode) => void;
  /** An error that no request should cause. */
  readonly onFault: (error: unknown) => void;
}

/** Counts the requests of the port. */
export interface CheckPortMetrics {
  answered(response: CheckResponse): void;
  /** The response to a token of no session is delayed. */
  delayed(): void;
}

/** More than a proxy passes on: nginx accepts 4 headers of 8 KiB. At the 10,000 connections of the default 320 MiB are in memory at most. */
const MAX_HEADER_BYTES = 32 * 1024;

/** Requests of one connection that wait for their responses. Proxies send the next one after the response. */
const MAX_REQUESTS_IN_PROGRESS = 16;

const TOO_MANY = refuse("too_many", `allowed are ${MAX_REQUESTS_IN_PROGRESS} requests at once`);
const FAULT = refuse("unavailable", "an unexpected error, it was logged");

/** How often Node checks its timeouts. Its default of 30 s would delay every shorter one. */
const MAX_CHECK_INTERVAL_MS = 500;

/**
 * Answers `/v1/check` over HTTP, for proxies and services beside the bridge (docs/http-api.md, "The check port"). Plain requests are
 * read here ({@link PlainConnection}); node:http reads everything else.
 */
export class CheckPort implements TlsPort {
  readonly #config: CheckPortConfig;
  readonly #parts: CheckPortParts;
  readonly #server: Server;
  readonly #places: HttpPlaces;
  readonly #proxies: TrustedProxies | undefined;
  readonly #failures: AddressBook<AddressFailures>;
  /** The connections that node:http does not know. */
  readonly #plain = new Map<Socket, PlainConnection>();
  #draining = false;

  constructor(config: CheckPortConfig, parts: CheckPortParts) {
    const { endpoint, limits } = config;
    this.#config = config;
    this.#parts = parts;
    this.#server = createHttpServer(config);
    const usesTls = endpoint.tls !== undefined;
    const { onRefused } = parts;
    this.#proxies =
      endpoint.proxies && new TrustedProxies({ addresses: endpoint.proxies, headerMs: limits.headersMs, onRefused });
    this.#places = new HttpPlaces(this.#server, usesTls, limits, onRefused, (socket) =>
      this.#proxies === undefined ? socket.remoteAddress : this.#proxies.addressOf(socket),
    );
    this.#failures = new AddressBook(() => new AddressFailures(limits.maxFailuresPerMinute));
    this.#answerPlainRequests(usesTls ? "secureConnection" : "connection");
    this.#proxies?.standBefore(this.#server, usesTls);
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => this.#receive(request, response);
    this.#server.on("request", onRequest);
    // A body is not asked for, because nobody reads it; and the edge has no expectation that it would refuse.
    this.#server.on("checkContinue", onRequest);
    this.#server.on("checkExpectation", onRequest);
  }

  /** Connections, those in a TLS handshake included. */
  get connections(): number {
    return this.#places.connections;
  }

  /** Starts to listen. Rejects with the system's error, for example EADDRINUSE. */
  async open(): Promise<AddressInfo> {
    const { host, port } = this.#config.endpoint;
    this.#server.listen({ host, port, backlog: 4096 });
    await once(this.#server, "listening");
    // A failed accept (too many open files) is no reason to stop: the next one may succeed.
    this.#server.on("error", this.#parts.onFault);
    return this.#server.address() as AddressInfo;
  }

  useIdentity(identity: TlsIdentity): void {
    // An HTTPS server is one of TLS.
    const server: unknown = this.#server;
    if (server instanceof TlsServer) server.setSecureContext(secureContextOptions(identity));
  }

  /**
   * Accepts no more connections, closes those without a request, and each other one after its response. Resolves when all are
   * closed; after `deadlineMs` the remaining ones are disconnected.
   */
  async drain(deadlineMs: number): Promise<void> {
    if (!this.#server.listening) return;
    this.#draining = true;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#proxies?.destroyAll();
    for (const connection of this.#plain.values()) connection.drain();
    const deadline = setTimeout(() => this.#disconnectAll(), deadlineMs);
    await closed;
    clearTimeout(deadline);
  }

  /** Disconnects all connections. Idempotent. */
  async close(): Promise<void> {
    const drained = this.drain(0);
    this.#disconnectAll();
    await drained;
  }

  #disconnectAll(): void {
    this.#server.closeAllConnections();
    for (const socket of this.#plain.keys()) socket.destroy();
  }

  /** Takes the connections before node:http does. `event`: with which Node gives a connection to its HTTP server. */
  #answerPlainRequests(event: "connection" | "secureConnection"): void {
    const server = this.#server;
    const { headersMs, requestMs, idleMs } = this.#config.limits;
    // The server itself must listen: only then does Node check the timeouts of its connections.
    const [byNode] = server.listeners(event);
    if (byNode === undefined) throw new Error(`node:http does not listen to "${event}"`);
    server.removeListener(event, byNode as (socket: Socket) => void);
    const options: PlainConnectionOptions = {
      answer: (request, socket) => this.#answerPlain(request, socket),
      handOver: (socket, received) => {
        this.#plain.delete(socket);
        socket.pause();
        socket.unshift(received);
        byNode.call(server, socket);
        socket.resume();
      },
      isDraining: () => this.#draining,
      firstMs: Math.min(headersMs, requestMs),
      idleMs,
      unreadMs: requestMs,
    };
    server.on(event, (socket: Socket) => {
      // Its connection was refused.
      if (this.#places.peerOf(socket) === undefined) return;
      this.#plain.set(socket, new PlainConnection(socket, options));
      socket.once("close", () => this.#plain.delete(socket));
    });
  }

  #answerPlain(request: ReceivedRequest, socket: Socket): CheckResponse | Promise<CheckResponse> {
    const peer = this.#places.peerOf(socket);
    if (peer === undefined) return refuse("unavailable", "the connection has ended");
    peer.requestBegan();
    const answer = this.#answer(request, peer, socket);
    if (!(answer instanceof Promise)) return this.#answered(peer, answer);
    return answer.then((answered) => this.#answered(peer, answered));
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const { socket, url: target = "", rawHeaders } = request;
    const peer = this.#places.peerOf(socket);
    // Its connection was refused.
    if (peer === undefined) return;
    peer.requestBegan();
    // The limits are for what the client does; the answer has a deadline of its own.
    socket.setTimeout(0);
    if (peer.inProgress > MAX_REQUESTS_IN_PROGRESS) {
      this.#parts.onRefused("requests_in_progress");
      response.shouldKeepAlive = false;
      this.#send(response, this.#answered(peer, TOO_MANY));
      return;
    }
    const answer = this.#answer({ target, rawHeaders }, peer, socket);
    if (!(answer instanceof Promise)) this.#send(response, this.#answered(peer, answer));
    else void answer.then((answered) => this.#send(response, this.#answered(peer, answered)));
  }

  /** Answers a request, late if its address has shown too many tokens of no session. Does not throw and does not reject. */
  #answer(request: ReceivedRequest, peer: HttpPeer, socket: Socket): CheckResponse | Promise<CheckResponse> {
    const fail = (error: unknown): CheckResponse => {
      this.#parts.onFault(error);
      return FAULT;
    };
    try {
      const answer = answerCheck(request, this.#parts.lookup);
      if (!(answer instanceof Promise)) return answer;
      return answer
        .then((answered) => {
          const delayMs = answered.status === 401 ? this.#delayMs(peer, socket) : 0;
          return delayMs === 0 ? answered : pause(delayMs, answered);
        })
        .catch(fail);
    } catch (error) {
      return fail(error);
    }
  }

  #answered(peer: HttpPeer, answered: CheckResponse): CheckResponse {
    peer.requestEnded();
    this.#parts.metrics.answered(answered);
    return answered;
  }

  /** How long a client that has shown the token of no session waits for its response. */
  #delayMs(peer: HttpPeer, socket: Socket): number {
    // All clients of a proxy share its address: one on this machine, or one with a certificate of the port's authority.
    const { host, proxies } = this.#config.endpoint;
    const isHere = proxies === undefined && isLoopbackHost(host);
    if (isHere || (socket as Partial<TLSSocket>).authorized === true) return 0;
    const nowMs = performance.now();
    if (this.#failures.of(peer.address, nowMs).countOne(nowMs)) return 0;
    this.#parts.metrics.delayed();
    return this.#config.limits.failureDelayMs;
  }

  #send(response: ServerResponse, { status, headers, body }: CheckResponse): void {
    if (this.#draining) response.shouldKeepAlive = false;
    // For a client that does not read its response. Once it has, node:http sets the limit for its silence.
    response.req.socket.setTimeout(this.#config.limits.requestMs);
    response.writeHead(status, { ...headers, "Content-Length": body === null ? 0 : Buffer.byteLength(body) });
    response.end(body ?? undefined);
  }
}

function createHttpServer({ endpoint: { tls }, limits }: CheckPortConfig): Server {
  const { headersMs, requestMs, idleMs } = limits;
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: Math.min(headersMs, requestMs),
    requestTimeout: requestMs,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: Math.min(MAX_CHECK_INTERVAL_MS, Math.ceil(headersMs / 2)),
  };
  const server =
    tls === undefined
      ? createServer(options)
      : createTlsServer({
          ...options,
          ...secureContextOptions(tls),
          ...(tls.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
          handshakeTimeout: headersMs,
        });
  return server.setTimeout(requestMs);
}

/** The tokens of no session that an address has shown. */
class AddressFailures implements AddressRecord {
  readonly #window: FailureWindow;

  constructor(maxPerMinute: number) {
    this.#window = new FailureWindow(maxPerMinute);
  }

  isIdle(nowMs: number): boolean {
    return this.#window.failures(nowMs) === 0;
  }

  /** Counts a failure; whether the limit allows it. */
  countOne(nowMs: number): boolean {
    this.#window.count(1, nowMs);
    return this.#window.allowance(nowMs) >= 0;
  }
}
