import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Admission, addressKey, type Place, type PlaceLimitCode, type PlaceLimits } from "./admission.ts";
import { endsOf } from "./listener.ts";

/** Why a connection to an HTTP port was refused or lost its place. */
export type PlaceRefusal = PlaceLimitCode | "evicted" | "tls_handshake";

/** An admitted connection of an HTTP port. */
export class HttpPeer {
  /** The address that limits count the peer by (addressKey of core/admission.ts). */
  readonly address: string;
  readonly #place: Place;
  #inProgress = 0;

  constructor(address: string, place: Place) {
    this.address = address;
    this.#place = place;
  }

  /** Requests of this connection that wait for their response. */
  get inProgress(): number {
    return this.#inProgress;
  }

  /** A request arrived: until {@link requestEnded}, the connection keeps its place. */
  requestBegan(): void {
    this.#inProgress += 1;
    if (this.#inProgress === 1) this.#place.prove();
  }

  /** A request got its response. Without another one, the connection may lose its place, after those that were used less recently. */
  requestEnded(): void {
    this.#inProgress -= 1;
    if (this.#inProgress === 0) this.#place.doubt();
  }
}

/**
 * The places of an HTTP server's connections. When all are taken, a new connection takes the place of the one that was used least
 * recently and has no request in progress, mostly of the address that has the most of those ({@link Admission}).
 */
export class HttpPlaces {
  readonly #admission: Admission;
  readonly #onRefused: (code: PlaceRefusal) => void;
  readonly #addressOf: (socket: Socket) => string | undefined;
  readonly #peers = new WeakMap<Socket, HttpPeer>();
  /** The connections in a TLS handshake, by {@link endsOf}: Node does not say which socket is below a TLS socket. */
  readonly #handshakes = new Map<string, HttpPeer>();

  /**
   * Admits the connections of `server`, which listens for HTTP or for HTTPS. Others are closed without a response. `addressOf` returns
   * who is at the other end.
   */
  constructor(
    server: Server,
    usesTls: boolean,
    limits: PlaceLimits,
    onRefused: (code: PlaceRefusal) => void,
    addressOf: (socket: Socket) => string | undefined = (socket) => socket.remoteAddress,
  ) {
    this.#admission = new Admission(limits);
    this.#onRefused = onRefused;
    this.#addressOf = addressOf;
    server.on("connection", (socket: Socket) => {
      const peer = this.#admit(socket);
      if (peer === undefined) return;
      if (usesTls) this.#awaitHandshake(socket, peer);
      else this.#peers.set(socket, peer);
    });
    if (!usesTls) return;
    server.on("secureConnection", (socket: TLSSocket) => {
      const peer = this.#handshakes.get(endsOf(socket));
      // Otherwise the TCP connection is closed already.
      if (peer !== undefined) this.#peers.set(socket, peer);
    });
    server.on("tlsClientError", (_error: Error, socket: TLSSocket) => {
      onRefused("tls_handshake");
      socket.destroy();
    });
  }

  /** Connections, those in a TLS handshake included. */
  get connections(): number {
    return this.#admission.total;
  }

  /** The connection of a request; undefined if it was refused. */
  peerOf(socket: Socket): HttpPeer | undefined {
    return this.#peers.get(socket);
  }

  #admit(socket: Socket): HttpPeer | undefined {
    const address = addressKey(this.#addressOf(socket));
    const place = this.#admission.admit(address, () => {
      this.#onRefused("evicted");
      socket.destroy();
    });
    if (typeof place === "string") {
      this.#onRefused(place);
      socket.destroy();
      return undefined;
    }
    socket.once("close", () => place.release());
    return new HttpPeer(address, place);
  }

  #awaitHandshake(socket: Socket, peer: HttpPeer): void {
    const ends = endsOf(socket);
    this.#handshakes.set(ends, peer);
    socket.once("close", () => {
      if (this.#handshakes.get(ends) === peer) this.#handshakes.delete(ends);
    });
  }
}
