import type { IncomingHttpHeaders } from "node:http";
import { type Dispatcher, Pool } from "undici";
import { KEEP_HEADER, REPEAT_HEADER } from "../../protocol/leases/keep-block.ts";
import { MAX_SERVICE_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";
import {
  BRIDGE_HEADER,
  EDGE_HEADER,
  PACKAGE_VERSION,
  PROTOCOL_HEADER,
  WIRE_PROTOCOL_VERSION,
} from "../../protocol/versions.ts";
import type { EdgeVersion } from "./edge-version.ts";

/** The outcome of one request to the edge. `body` is that of a response with status 200. */
export type EdgeResult = { readonly kind: "ok"; readonly body: Uint8Array } | EdgeFailure;

/** Why a request to the edge failed. */
export interface EdgeFailure {
  readonly kind: "failed";
  readonly code: EdgeFailureCode;
  /** For the log. Never contains the API key or any part of a packet. */
  readonly detail: string;
  /** Whether another attempt may succeed. Whether it is safe depends on the batch. */
  readonly worthRetrying: boolean;
}

/** Stable codes of failures: logs and metrics carry them. */
export type EdgeFailureCode =
  /** No connection could be opened, or it broke. */
  | "edge_unreachable"
  /** No response in time. */
  | "edge_timeout"
  /** The edge does not accept API_KEY. */
  | "edge_unauthenticated"
  /** The edge has no API_KEYS. */
  | "edge_not_configured"
  /** The edge refuses the batch as malformed or too large: a bug of the bridge or the edge. */
  | "edge_rejected"
  /** Another status than 200: the edge has a fault, or EDGE_URL is not an edge. */
  | "edge_status"
  /** The edge speaks a wire protocol that this bridge does not. */
  | "edge_version"
  /** Status 200, but the body does not hold the responses to this batch. */
  | "edge_bad_response";

export function edgeFailure(code: EdgeFailureCode, detail: string): EdgeFailure {
  return { kind: "failed", code, detail, worthRetrying: !LASTING.includes(code) };
}

/** Only an operator ends these. */
const LASTING: readonly EdgeFailureCode[] = [
  "edge_unauthenticated",
  "edge_not_configured",
  "edge_rejected",
  "edge_version",
];

/** Where the edge is, and how to connect to it. */
export interface EdgeClientOptions {
  /** Only its origin and path are used. */
  readonly url: URL;
  readonly apiKey: string;
  /** Whether to ask with each batch for how long its sessions may be kept. */
  readonly asksKeep: boolean;
  /** Connections, and so requests, at the same time. */
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  /** Hears what the edge tells of itself. */
  readonly version: Pick<EdgeVersion, "misfit">;
}

/** Every response packet has at most its cap, and its entry of the keep block the largest grants (protocol/leases/keep-block.ts). */
const MAX_RESPONSE_BYTES = MAX_BATCH_REQUESTS * (MAX_SERVICE_PACKET_BYTES + 1 + 2 + 0xffff);

/** An idle connection stays open this long, unless the edge says less: a new connection costs round trips. */
const KEEP_ALIVE_MS = 60_000;

/** Posts packets to the edge over HTTP, on connections that stay open. */
export class EdgeClient {
  readonly #pool: Pool;
  readonly #request: Dispatcher.DispatchOptions;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #version: Pick<EdgeVersion, "misfit">;
  /** What the edge has told of itself last, and why it does not fit. */
  #told: Told | undefined;

  constructor({ url, apiKey, asksKeep, maxConnections, connectTimeoutMs, version }: EdgeClientOptions) {
    this.#version = version;
    this.#pool = new Pool(url.origin, {
      connections: maxConnections,
      connect: { timeout: connectTimeoutMs },
      keepAliveTimeout: KEEP_ALIVE_MS,
      // One connection for each request in flight: with HTTP/2 all requests would share one, and stall together.
      allowH2: false,
      pipelining: 1,
      // Each attempt has its own deadline, which includes the wait for a connection; undici's timeouts do not.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#request = {
      method: "POST",
      path: `${url.pathname.replace(/\/$/, "")}/v1/packets`,
    };
    this.#headers = {
      authorization: `Bearer ${apiKey}`,
      "content-type": "application/octet-stream",
      [BRIDGE_HEADER]: PACKAGE_VERSION,
      [PROTOCOL_HEADER]: WIRE_PROTOCOL_VERSION,
      ...(asksKeep && { [KEEP_HEADER]: "1" }),
    };
  }

  /**
   * Posts packets. Resolves within `timeoutMs` and does not reject. An empty body tests whether the edge accepts requests.
   *
   * @param isRepeat whether the same packets were posted before, and may have been executed
   */
  post(packets: Uint8Array, timeoutMs: number, isRepeat = false): Promise<EdgeResult> {
    return new Promise((resolve) => {
      const misfit = (statusCode: number, headers: IncomingHttpHeaders) => this.#misfit(statusCode, headers);
      const attempt = new EdgeAttempt(timeoutMs, MAX_RESPONSE_BYTES, misfit, resolve);
      const headers = isRepeat ? { ...this.#headers, [REPEAT_HEADER]: "1" } : this.#headers;
      this.#pool.dispatch({ ...this.#request, headers, body: packets }, attempt);
    });
  }

  /** Why a response cannot be read: it is in another wire protocol. What the edge tells is judged when it changes. */
  #misfit(statusCode: number, headers: IncomingHttpHeaders): string | undefined {
    const [version, protocol] = [headers[VERSION_KEY], headers[PROTOCOL_KEY]];
    // A proxy in front of the edge may respond with an error of its own.
    if (protocol === undefined && statusCode !== 200) return undefined;
    const told = this.#told;
    if (told !== undefined && told.version === version && told.protocol === protocol) return told.misfit;
    this.#told = { version, protocol, misfit: this.#version.misfit(headers) };
    return this.#told.misfit;
  }

  /** Closes all connections; requests in flight fail. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

interface Told {
  readonly version: HeaderValue;
  readonly protocol: HeaderValue;
  readonly misfit: string | undefined;
}

type HeaderValue = string | readonly string[] | undefined;

/** As undici names them in responses. */
const VERSION_KEY = EDGE_HEADER.toLowerCase();
const PROTOCOL_KEY = PROTOCOL_HEADER.toLowerCase();

/** How much of an error's body is read: a problem document (RFC 9457) is far smaller. */
const MAX_PROBLEM_BYTES = 4096;

/** One request: undici calls it as the response arrives, and it resolves the outcome once. */
class EdgeAttempt implements Dispatcher.DispatchHandler {
  readonly #resolve: (result: EdgeResult) => void;
  readonly #maxBytes: number;
  readonly #misfit: (statusCode: number, headers: IncomingHttpHeaders) => string | undefined;
  readonly #timer: NodeJS.Timeout;
  #done = false;
  #controller: Dispatcher.DispatchController | undefined;
  #statusCode = 0;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(
    timeoutMs: number,
    maxBytes: number,
    misfit: (statusCode: number, headers: IncomingHttpHeaders) => string | undefined,
    resolve: (result: EdgeResult) => void,
  ) {
    this.#resolve = resolve;
    this.#maxBytes = maxBytes;
    this.#misfit = misfit;
    this.#timer = setTimeout(
      () => this.#abort(edgeFailure("edge_timeout", `no response within ${timeoutMs} ms`)),
      timeoutMs,
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // The attempt timed out while it waited for a connection: the request must not be sent any more.
    if (this.#done) controller.abort(new Error("the attempt timed out"));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    this.#statusCode = statusCode;
    const misfit = this.#misfit(statusCode, headers);
    if (misfit !== undefined) this.#abort(edgeFailure("edge_version", misfit));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.byteLength;
    if (this.#statusCode === 200 && this.#bytes > this.#maxBytes) {
      this.#abort(edgeFailure("edge_bad_response", `more than ${this.#maxBytes} bytes`));
    } else if (this.#statusCode !== 200 && this.#bytes > MAX_PROBLEM_BYTES) {
      this.#abort(statusFailure(this.#statusCode, undefined));
    } else {
      this.#chunks.push(chunk);
    }
  }

  onResponseEnd(): void {
    const [first] = this.#chunks;
    const body = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes);
    if (this.#statusCode === 200) this.#finish({ kind: "ok", body });
    else this.#finish(statusFailure(this.#statusCode, problemCode(body)));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const code = "code" in error ? `${error.code}: ` : "";
    this.#finish(edgeFailure("edge_unreachable", `${code}${error.message}`));
  }

  #abort(failure: EdgeFailure): void {
    this.#finish(failure);
    this.#controller?.abort(new Error(failure.code));
  }

  #finish(result: EdgeResult): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    this.#chunks = [];
    this.#resolve(result);
  }
}

function statusFailure(statusCode: number, problem: string | undefined): EdgeFailure {
  const detail = problem === undefined ? `HTTP status ${statusCode}` : `HTTP status ${statusCode}, ${problem}`;
  if (statusCode === 401) return edgeFailure("edge_unauthenticated", `${detail}: the edge does not accept API_KEY`);
  if (problem === "not_configured") return edgeFailure("edge_not_configured", `${detail}: the edge has no API_KEYS`);
  if (statusCode === 400 || statusCode === 413) return edgeFailure("edge_rejected", detail);
  return edgeFailure("edge_status", detail);
}

/** The stable `code` of a problem document, undefined if the body is none. */
function problemCode(body: Buffer): string | undefined {
  try {
    const problem: unknown = JSON.parse(body.toString());
    if (typeof problem !== "object" || problem === null || !("code" in problem)) return undefined;
    return typeof problem.code === "string" && /^[a-z_]{1,32}$/.test(problem.code) ? problem.code : undefined;
  } catch {
    return undefined;
  }
}
