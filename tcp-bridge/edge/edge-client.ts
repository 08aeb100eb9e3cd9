import { type Dispatcher, Pool } from "undici";
import { MAX_SERVICE_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import { MAX_BATCH_REQUESTS } from "../../protocol/session-request.ts";

/** Stable codes of why the edge gave no answers to a batch. */
export type EdgeFailureCode =
  /** No connection, or it broke. */
  | "edge_unreachable"
  /** No answer in time. */
  | "edge_timeout"
  /** The edge does not accept API_KEY. */
  | "edge_unauthenticated"
  /** The edge has no API_KEYS at all. */
  | "edge_not_configured"
  /** The edge says that the batch itself is wrong: a bug, on this side or on that. */
  | "edge_rejected"
  /** The edge answered with another status than 200: it has trouble of its own, or EDGE_URL is not an edge. */
  | "edge_status"
  /** Status 200, but the body is not the answers to this batch. */
  | "edge_bad_answer";

/** One attempt's outcome. */
export type EdgeResult = { readonly kind: "answered"; readonly answers: Uint8Array } | EdgeFailure;

export interface EdgeFailure {
  readonly kind: "failed";
  readonly code: EdgeFailureCode;
  /** For the log: never holds the key, a packet or what a packet holds. */
  readonly detail: string;
  /** Whether another attempt may have another outcome. Whether it is safe, the batch decides. */
  readonly worthRetrying: boolean;
}

export function edgeFailure(code: EdgeFailureCode, detail: string): EdgeFailure {
  const lasting = code === "edge_unauthenticated" || code === "edge_not_configured" || code === "edge_rejected";
  return { kind: "failed", code, detail, worthRetrying: !lasting };
}

/** Where the edge is, and how to reach it. */
export interface EdgeClientOptions {
  /** Only its origin and path count. */
  readonly url: URL;
  readonly apiKey: string;
  /** Requests at once. */
  readonly maxConnections: number;
  /** A connection that is not there after this time is given up. */
  readonly connectTimeoutMs: number;
}

/** No answer is larger: every packet has its cap. */
const MAX_ANSWER_BYTES = MAX_BATCH_REQUESTS * MAX_SERVICE_PACKET_BYTES;

/** An idle connection is kept this long, if the edge does not say less: reconnecting costs round trips. */
const KEEP_ALIVE_MS = 60_000;

/** Asks the edge over HTTP with connections that are kept open. */
export class EdgeClient {
  readonly #pool: Pool;
  readonly #request: Dispatcher.DispatchOptions;

  constructor({ url, apiKey, maxConnections, connectTimeoutMs }: EdgeClientOptions) {
    this.#pool = new Pool(url.origin, {
      connections: maxConnections,
      connect: { timeout: connectTimeoutMs },
      keepAliveTimeout: KEEP_ALIVE_MS,
      // One connection for each request in flight: over HTTP/2 they would share one, and its stall would be everybody's.
      allowH2: false,
      pipelining: 1,
      // Every attempt has its own deadline, which includes the wait for a connection; undici's would not.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#request = {
      method: "POST",
      path: `${url.pathname.replace(/\/$/, "")}/v1/packets`,
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/octet-stream" },
    };
  }

  /** Posts packets; resolves within `timeoutMs`, and does not reject. An empty body asks only whether the edge would take one. */
  post(packets: Uint8Array, timeoutMs: number): Promise<EdgeResult> {
    return new Promise((resolve) => {
      const attempt = new EdgeAttempt(timeoutMs, MAX_ANSWER_BYTES, resolve);
      this.#pool.dispatch({ ...this.#request, body: packets }, attempt);
    });
  }

  /** Breaks the connections and what is in flight on them. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** How much of an error's body is read: a problem document (RFC 9457) is far smaller. */
const MAX_PROBLEM_BYTES = 4096;

/** One request to the edge: undici tells it what happens, it tells the outcome once. */
export class EdgeAttempt implements Dispatcher.DispatchHandler {
  readonly #resolve: (result: EdgeResult) => void;
  readonly #maxBytes: number;
  readonly #timer: NodeJS.Timeout;
  #settled = false;
  #controller: Dispatcher.DispatchController | undefined;
  #statusCode = 0;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(timeoutMs: number, maxBytes: number, resolve: (result: EdgeResult) => void) {
    this.#resolve = resolve;
    this.#maxBytes = maxBytes;
    this.#timer = setTimeout(
      () => this.#fail(edgeFailure("edge_timeout", `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // The time ran out while the request waited for a connection: nothing of it must be sent now.
    if (this.#settled) controller.abort(new Error("the attempt is over"));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number): void {
    this.#statusCode = statusCode;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.byteLength;
    if (this.#statusCode === 200 && this.#bytes > this.#maxBytes) {
      this.#fail(edgeFailure("edge_bad_answer", `more than ${this.#maxBytes} bytes`));
    } else if (this.#statusCode !== 200 && this.#bytes > MAX_PROBLEM_BYTES) {
      this.#fail(failureOf(this.#statusCode, undefined));
    } else {
      this.#chunks.push(chunk);
    }
  }

  onResponseEnd(): void {
    const [first] = this.#chunks;
    const body = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes);
    if (this.#statusCode === 200) this.#settle({ kind: "answered", answers: body });
    else this.#settle(failureOf(this.#statusCode, problemCode(body)));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const code = "code" in error ? `${error.code}: ` : "";
    this.#settle(edgeFailure("edge_unreachable", `${code}${error.message}`));
  }

  #fail(failure: EdgeFailure): void {
    this.#settle(failure);
    this.#controller?.abort(new Error(failure.code));
  }

  #settle(result: EdgeResult): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#chunks = [];
    this.#resolve(result);
  }
}

function failureOf(statusCode: number, problem: string | undefined): EdgeFailure {
  const detail = problem === undefined ? `HTTP status ${statusCode}` : `HTTP status ${statusCode}, ${problem}`;
  if (statusCode === 401) return edgeFailure("edge_unauthenticated", `${detail}: the edge does not accept API_KEY`);
  if (problem === "not_configured") return edgeFailure("edge_not_configured", `${detail}: the edge has no API_KEYS`);
  if (statusCode === 400 || statusCode === 413) return edgeFailure("edge_rejected", detail);
  return edgeFailure("edge_status", detail);
}

/** The stable `code` of a problem document, if the body is one. */
function problemCode(body: Buffer): string | undefined {
  try {
    const problem: unknown = JSON.parse(body.toString());
    if (typeof problem !== "object" || problem === null || !("code" in problem)) return undefined;
    return typeof problem.code === "string" && /^[a-z_]{1,32}$/.test(problem.code) ? problem.code : undefined;
  } catch {
    return undefined;
  }
}
