import { type Dispatcher, Pool } from "undici";
import { MAX_SERVICE_PACKET_BYTES } from "../../protocol/packet-framing.ts";
import { MAX_BATCH_PACKETS } from "./batch.ts";
import { EdgeAttempt } from "./edge-attempt.ts";
import type { EdgeResult } from "./edge-result.ts";

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
const MAX_ANSWER_BYTES = MAX_BATCH_PACKETS * MAX_SERVICE_PACKET_BYTES;

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
