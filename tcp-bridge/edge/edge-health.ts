import type { Logger } from "pino";
import { type EdgeClient, type EdgeFailure, type EdgeFailureCode, edgeFailure } from "./edge-client.ts";

/** The result of a probe is reused for this time, however often `/readyz` is requested. */
const FRESH_MS = 1_000;

/** Tests with an empty batch whether the edge is reachable and accepts the API key. The edge does not call its store for it. */
export class EdgeProbe {
  readonly #edge: EdgeClient;
  readonly #timeoutMs: number;
  #result: Promise<EdgeFailure | undefined> | undefined;
  #startedMs = 0;

  constructor(edge: EdgeClient, timeoutMs: number) {
    this.#edge = edge;
    this.#timeoutMs = timeoutMs;
  }

  /** Why the edge cannot be used, undefined if it can. Does not reject. */
  async failure(): Promise<EdgeFailure | undefined> {
    const nowMs = performance.now();
    if (this.#result === undefined || nowMs - this.#startedMs > FRESH_MS) {
      this.#result = this.#probe();
      this.#startedMs = nowMs;
    }
    return this.#result;
  }

  async #probe(): Promise<EdgeFailure | undefined> {
    const result = await this.#edge.post(new Uint8Array(0), this.#timeoutMs);
    if (result.kind === "failed") return result;
    const { byteLength } = result.body;
    return byteLength === 0 ? undefined : edgeFailure("edge_bad_response", `${byteLength} bytes for an empty batch`);
  }
}

/** When the edge fails, thousands of batches do: each code is logged once in this time. */
const INTERVAL_MS = 10_000;

/** Logs failures of the edge at a bounded rate. */
export class EdgeFailureLog {
  readonly #logger: Logger;
  readonly #byCode = new Map<EdgeFailureCode, { loggedMs: number; suppressed: number }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  log(failure: EdgeFailure, nowMs = performance.now()): void {
    // EdgeVersion has said it.
    if (failure.code === "edge_version") return;
    const last = this.#byCode.get(failure.code);
    if (last !== undefined && nowMs - last.loggedMs < INTERVAL_MS) {
      last.suppressed += 1;
      return;
    }
    this.#byCode.set(failure.code, { loggedMs: nowMs, suppressed: 0 });
    const { code, detail } = failure;
    this.#logger.warn({ code, detail, suppressed: last?.suppressed ?? 0 }, "a request to the edge failed");
  }
}
