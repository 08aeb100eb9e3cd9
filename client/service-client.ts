import type { Socket } from "node:net";
import { ByteWriter } from "../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder } from "../protocol/packet-framing.ts";
import { type ServiceResponsePacket, writeServiceKey, writeServiceRequest } from "../protocol/service-packets.ts";
import type { ServiceRequest, ServiceResponseTo } from "../protocol/session-request.ts";
import { requireToken } from "../protocol/session-token.ts";
import { Status, statusName } from "../protocol/status-codes.ts";
import {
  decodeBridgePacket,
  type WatchNotice,
  type WatchRequest,
  type WatchResponse,
  writeWatchRequest,
} from "../protocol/watch-packets.ts";
import { ConnectionError, type ConnectionErrorCode, type Connector } from "./connector.ts";

/** The options of a {@link ServiceClient}. */
export interface ServiceClientOptions {
  /** 5 s by default; the bridge itself responds within 2 s. */
  readonly responseTimeoutMs?: number;
  /** The first packet, which a port with BRIDGE_SERVICE_KEYS requires. Every other port accepts it too. */
  readonly serviceKey?: string;
}

/** How {@link ServiceClient.open} connects. */
export interface ServiceClientOpenOptions extends ServiceClientOptions {
  readonly connector: Connector;
  /** Cancels the attempt to connect. */
  readonly signal?: AbortSignal;
}

/** Called for each notice of a watch. */
export type NoticeListener = (notice: WatchNotice) => void;

type Response = ServiceResponseTo<ServiceRequest["kind"]> | WatchResponse;

interface Pending {
  readonly kind: Response["kind"];
  readonly sentMs: number;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: ConnectionError) => void;
  /** Of a WatchRequest: who gets the notices that follow its response. */
  readonly onNotice?: NoticeListener;
}

const DEFAULT_RESPONSE_TIMEOUT_MS = 5_000;

/**
 * A game server's side of the game-server port: requests of one connection, pipelined, with responses in their order
 * (docs/wire-protocol.md, "Service packets").
 */
export class ServiceClient {
  /** Resolves when the connection has ended, with the reason. */
  readonly closed: Promise<ConnectionError>;
  #resolveClosed: (reason: ConnectionError) => void = () => {};
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
  #onNotice: NoticeListener | undefined;
  /** The peer has sent something. */
  #heard = false;

  constructor(
    socket: Socket,
    { responseTimeoutMs = DEFAULT_RESPONSE_TIMEOUT_MS, serviceKey }: ServiceClientOptions = {},
  ) {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#socket = socket;
    this.#responseTimeoutMs = responseTimeoutMs;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail("closed", `the connection broke: ${error.message}`));
    socket.on("close", () => this.#fail("closed", this.#whyClosed()));
    if (serviceKey !== undefined) this.#showKey(serviceKey);
  }

  /**
   * Connects to the game-server port of a bridge.
   *
   * @throws ConnectionError as {@link Connector.connect}
   */
  static async open({ connector, signal, ...options }: ServiceClientOpenOptions): Promise<ServiceClient> {
    return await connector.connect((socket) => new ServiceClient(socket, options), { ...(signal && { signal }) });
  }

  /**
   * Sends a request at once, without waiting for the responses to earlier ones.
   *
   * @throws ConnectionError the request has no result; after any code except `refused` and `too_large` the connection is closed
   * @throws TypeError it was not sent: the sessid is no int32, or the token has not 20 bytes
   */
  async request<K extends ServiceRequest["kind"]>(
    request: ServiceRequest & { readonly kind: K },
  ): Promise<ServiceResponseTo<K>> {
    requirePacket(request);
    const writer = new ByteWriter();
    writeServiceRequest(writer, request);
    // #takeResponse resolves it only with a response of this kind.
    return (await this.#send(request.kind, writer)) as ServiceResponseTo<K>;
  }

  /**
   * Asks to be told which sessions end, in place of the connection's earlier watch (docs/wire-protocol.md, "Watches"). `onNotice` is
   * called from the response on, for each notice in its order. For a watch that survives its connections, see SessionWatch.
   *
   * @throws ConnectionError as {@link request}
   */
  watch(request: WatchRequest, onNotice: NoticeListener): Promise<WatchResponse> {
    const writer = new ByteWriter();
    writeWatchRequest(writer, request);
    return this.#send("watch", writer, onNotice) as Promise<WatchResponse>;
  }

  /** Ends the connection; requests without a response are rejected with `closed` and this reason. */
  close(reason = "the connection was closed"): void {
    this.#fail("closed", reason);
  }

  #send(kind: Response["kind"], writer: ByteWriter, onNotice?: NoticeListener): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
      } else if (writer.length > MAX_SERVICE_PACKET_BYTES) {
        reject(new ConnectionError("too_large", `a packet has at most ${MAX_SERVICE_PACKET_BYTES} bytes`));
      } else {
        this.#pending.push({ kind, sentMs: performance.now(), resolve, reject, ...(onNotice && { onNotice }) });
        this.#timer ??= setTimeout(() => this.#checkTimeout(), this.#responseTimeoutMs);
        this.#write(writer.finish());
      }
    });
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

  /** A port with TLS closes on plaintext, and says nothing that a client could read. */
  #whyClosed(): string {
    const isUnanswered = !this.#heard && this.#pending.length > 0;
    return `the connection was closed${isUnanswered ? " before the first response: does the port want TLS?" : ""}`;
  }

  #receive(chunk: Buffer): void {
    const isHttp = !this.#heard && chunk.toString("latin1", 0, 5) === "HTTP/";
    this.#heard = true;
    if (isHttp) {
      this.#fail("bad_response", "the port speaks HTTP: it is not the game-server port of a bridge");
      return;
    }
    try {
      this.#decoder.push(chunk, (packet) => this.#take(decodeBridgePacket(packet)));
    } catch (error) {
      this.#fail("bad_response", error instanceof Error ? error.message : String(error));
    }
  }

  #take(packet: ServiceResponsePacket | WatchResponse | WatchNotice): void {
    switch (packet.kind) {
      case "ended":
      case "checkpoint":
      case "reset":
        this.#notify(packet);
        break;
      default:
        this.#takeResponse(packet);
    }
  }

  /** A listener that throws does not disturb the connection. */
  #notify(notice: WatchNotice): void {
    if (this.#failure !== undefined) return;
    try {
      this.#onNotice?.(notice);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #takeResponse(response: ServiceResponsePacket | WatchResponse): void {
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
    } else if (response.kind === "serviceKey" || pending?.kind !== response.kind) {
      pending?.reject(new ConnectionError("bad_response", `${response.kind} in response to ${pending.kind}`));
      this.#fail("bad_response", "the responses do not match the requests");
    } else {
      if (response.kind === "watch") this.#onNotice = pending.onNotice;
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
    this.#resolveClosed(this.#failure);
    this.#socket.destroy();
  }
}

/** What the types cannot say, and would become a request for another session or break the stream of packets. */
function requirePacket(request: ServiceRequest): void {
  if (request.kind === "identify") requireToken(request.token);
  if ("sessid" in request && (request.sessid | 0) !== request.sessid)
    throw new TypeError(`sessid: ${request.sessid} is no int32`);
}
