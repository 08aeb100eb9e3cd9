import type { Socket } from "node:net";
import { ByteWriter } from "../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder } from "../protocol/packet-framing.ts";
import { decodeServiceResponse, writeServiceKey, writeServiceRequest } from "../protocol/service-packets.ts";
import type { ServiceRequest, ServiceResponseTo } from "../protocol/session-request.ts";
import { Status, statusName } from "../protocol/status-codes.ts";
import { ConnectionError, type ConnectionErrorCode } from "./connector.ts";

/** The options of a {@link ServiceClient}. */
export interface ServiceClientOptions {
  /** 5 s by default; the bridge itself responds within 2 s. */
  readonly responseTimeoutMs?: number;
  /** The first packet, which a port with BRIDGE_SERVICE_KEYS requires. Every other port accepts it too. */
  readonly serviceKey?: string;
}

interface Pending {
  readonly kind: ServiceRequest["kind"];
  readonly sentMs: number;
  readonly resolve: (response: ServiceResponseTo<ServiceRequest["kind"]>) => void;
  readonly reject: (error: ConnectionError) => void;
}

const DEFAULT_RESPONSE_TIMEOUT_MS = 5_000;

/**
 * A game server's side of the game-server port: requests of one connection, pipelined, with responses in their order
 * (docs/wire-protocol.md, "Service packets"). Make it with a Connector.
 */
export class ServiceClient {
  readonly #socket: Socket;
  readonly #responseTimeoutMs: number;
  readonly #decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
  /** Responses carry no number: the first one belongs to the first of these requests. */
  readonly #pending: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #corked = false;
  #failure: ConnectionError | undefined;
  /** The service key has been sent, and its response has not arrived. */
  #keyShown = false;

  constructor(
    socket: Socket,
    { responseTimeoutMs = DEFAULT_RESPONSE_TIMEOUT_MS, serviceKey }: ServiceClientOptions = {},
  ) {
    this.#socket = socket;
    this.#responseTimeoutMs = responseTimeoutMs;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail("closed", `the connection broke: ${error.message}`));
    socket.on("close", () => this.#fail("closed", "the connection was closed"));
    if (serviceKey !== undefined) this.#showKey(serviceKey);
  }

  /**
   * Sends a request at once, without waiting for the responses to earlier ones.
   *
   * @throws ConnectionError the request has no result; after any code except `refused` and `too_large` the connection is closed
   */
  request<K extends ServiceRequest["kind"]>(
    request: ServiceRequest & { readonly kind: K },
  ): Promise<ServiceResponseTo<K>> {
    const { promise, resolve, reject } = Promise.withResolvers<ServiceResponseTo<K>>();
    const writer = new ByteWriter();
    writeServiceRequest(writer, request);
    if (this.#failure !== undefined) {
      reject(this.#failure);
    } else if (writer.length > MAX_SERVICE_PACKET_BYTES) {
      reject(new ConnectionError("too_large", `a packet has at most ${MAX_SERVICE_PACKET_BYTES} bytes`));
    } else {
      // #receive resolves it only with a response of this kind.
      const resolveKind = resolve as Pending["resolve"];
      this.#pending.push({ kind: request.kind, sentMs: performance.now(), resolve: resolveKind, reject });
      this.#timer ??= setTimeout(() => this.#checkTimeout(), this.#responseTimeoutMs);
      this.#write(writer.finish());
    }
    return promise;
  }

  /** Ends the connection; requests without a response are rejected with `closed`. */
  close(): void {
    this.#fail("closed", "the connection was closed");
  }

  /** Requests need not wait for the response to the key: the bridge reads the key first. */
  #showKey(serviceKey: string): void {
    const writer = new ByteWriter();
    writeServiceKey(writer, serviceKey);
    if (writer.length > MAX_SERVICE_PACKET_BYTES) {
      this.#fail("too_large", "the service key is too long");
      return;
    }
    this.#keyShown = true;
    this.#write(writer.finish());
  }

  /** Packets of one tick of the event loop leave as one write. */
  #write(packet: Uint8Array): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(packet);
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#decoder.push(chunk, (packet) => this.#takeResponse(packet));
    } catch (error) {
      this.#fail("bad_response", error instanceof Error ? error.message : String(error));
    }
  }

  #takeResponse(packet: Uint8Array): void {
    const response = decodeServiceResponse(packet);
    if (this.#keyShown && response.kind === "serviceKey") {
      this.#keyShown = false;
      if (response.status === Status.Ok) return;
      this.#fail("refused", `the service key is refused: ${statusName(response.status)}`);
      return;
    }
    const pending = this.#pending.shift();
    if (response.kind === "error") {
      const refusal = new ConnectionError("refused", response.message);
      // If no request waits, the error is about the connection, which the peer then closes.
      if (pending === undefined) this.#failure ??= refusal;
      else pending.reject(refusal);
    } else if (pending?.kind !== response.kind) {
      pending?.reject(new ConnectionError("bad_response", `${response.kind} in response to ${pending.kind}`));
      this.#fail("bad_response", "the responses do not match the requests");
    } else {
      pending.resolve(response);
    }
  }

  /** One timer for all requests: it fires when the oldest one has timed out. */
  #checkTimeout(): void {
    this.#timer = undefined;
    const oldest = this.#pending[0];
    if (oldest === undefined) return;
    const leftMs = oldest.sentMs + this.#responseTimeoutMs - performance.now();
    if (leftMs > 0) this.#timer = setTimeout(() => this.#checkTimeout(), leftMs);
    // After a missing response, the others cannot be matched to their requests.
    else this.#fail("timeout", `no response within ${this.#responseTimeoutMs} ms`);
  }

  #fail(code: ConnectionErrorCode, message: string): void {
    clearTimeout(this.#timer);
    this.#failure ??= new ConnectionError(code, message);
    for (const { reject } of this.#pending.splice(0)) reject(this.#failure);
    this.#socket.destroy();
  }
}
