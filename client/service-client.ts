import type { Socket } from "node:net";
import { ByteWriter } from "../protocol/packet-fields.ts";
import { MAX_SERVICE_PACKET_BYTES, PacketDecoder } from "../protocol/packet-framing.ts";
import { decodeServiceResponse, writeServiceKey, writeServiceRequest } from "../protocol/service-packets.ts";
import type { ResponseTo, ServiceRequest } from "../protocol/session-request.ts";
import { Status, statusName } from "../protocol/status-codes.ts";
import { ConnectionError, type ConnectionErrorCode } from "./connector.ts";

/** What {@link ServiceClient} may be told. */
export interface ServiceClientOptions {
  /** The bridge answers within 2 s what reaches it; 5 s by default. */
  readonly answerTimeoutMs?: number;
  /** Shown first: what a port with BRIDGE_SERVICE_KEYS asks for. Every other port accepts it too. */
  readonly serviceKey?: string;
}

interface Pending {
  readonly kind: ServiceRequest["kind"];
  readonly sentMs: number;
  readonly resolve: (response: ResponseTo<ServiceRequest["kind"]>) => void;
  readonly reject: (error: ConnectionError) => void;
}

const DEFAULT_ANSWER_TIMEOUT_MS = 5_000;

/**
 * A game server's side of the game-server port: requests of one connection, pipelined, answered in their order
 * (docs/wire-protocol.md, "Service packets"). Make it with a Connector.
 */
export class ServiceClient {
  readonly #socket: Socket;
  readonly #answerTimeoutMs: number;
  readonly #decoder = new PacketDecoder(MAX_SERVICE_PACKET_BYTES);
  /** Answers carry no number: the first that comes belongs to the first of these. */
  readonly #pending: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #corked = false;
  #failure: ConnectionError | undefined;
  /** The service key was shown, and its response is awaited. */
  #keyShown = false;

  constructor(socket: Socket, { answerTimeoutMs = DEFAULT_ANSWER_TIMEOUT_MS, serviceKey }: ServiceClientOptions = {}) {
    this.#socket = socket;
    this.#answerTimeoutMs = answerTimeoutMs;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail("closed", `the connection broke: ${error.message}`));
    socket.on("close", () => this.#fail("closed", "the connection was closed"));
    if (serviceKey !== undefined) this.#showKey(serviceKey);
  }

  /**
   * Sends a request at once, without waiting for the answers to earlier ones.
   *
   * @throws ConnectionError the request has no verdict; after any code but `refused` and `too_large` the connection is over
   */
  request<K extends ServiceRequest["kind"]>(request: ServiceRequest & { readonly kind: K }): Promise<ResponseTo<K>> {
    const { promise, resolve, reject } = Promise.withResolvers<ResponseTo<K>>();
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
      this.#timer ??= setTimeout(() => this.#checkTimeout(), this.#answerTimeoutMs);
      this.#write(writer.finish());
    }
    return promise;
  }

  /** Ends the connection; requests without an answer are rejected with `closed`. */
  close(): void {
    this.#fail("closed", "the connection was closed");
  }

  /** Its requests need not wait for the response: they are not read before the key is. */
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

  /** What one turn sends leaves as one write. */
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
      this.#decoder.push(chunk, (packet) => this.#answer(packet));
    } catch (error) {
      this.#fail("bad_answer", error instanceof Error ? error.message : String(error));
    }
  }

  #answer(packet: Uint8Array): void {
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
      // Without a request it is about the connection, which the peer now ends.
      if (pending === undefined) this.#failure ??= refusal;
      else pending.reject(refusal);
    } else if (pending?.kind !== response.kind) {
      pending?.reject(new ConnectionError("bad_answer", `${response.kind} answers ${pending.kind}`));
      this.#fail("bad_answer", "the answers do not match the requests");
    } else {
      pending.resolve(response);
    }
  }

  /** One timer for all: it sleeps until the oldest request's time is over. */
  #checkTimeout(): void {
    this.#timer = undefined;
    const oldest = this.#pending[0];
    if (oldest === undefined) return;
    const leftMs = oldest.sentMs + this.#answerTimeoutMs - performance.now();
    if (leftMs > 0) this.#timer = setTimeout(() => this.#checkTimeout(), leftMs);
    // The answers after a missing one could not be told apart any more.
    else this.#fail("timeout", `no answer within ${this.#answerTimeoutMs} ms`);
  }

  #fail(code: ConnectionErrorCode, message: string): void {
    clearTimeout(this.#timer);
    this.#failure ??= new ConnectionError(code, message);
    for (const { reject } of this.#pending.splice(0)) reject(this.#failure);
    this.#socket.destroy();
  }
}
