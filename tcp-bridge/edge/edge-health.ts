import type { Logger } from "pino";
import { type EdgeClient, type EdgeFailure, type EdgeFailureCode, edgeFailure } from "./edge-client.ts";

/** A verdict on the edge is this old at most: whoever asks more often does not make more requests. */
const FRESH_MS = 1_000;

/** Asks whether the edge is reachable and accepts the key, with a batch of no packets: it costs no store anything. */
export class EdgeProbe {
  readonly #edge: EdgeClient;
  readonly #timeoutMs: number;
  #asked: Promise<EdgeFailure | undefined> | undefined;
  #askedMs = 0;

  constructor(edge: EdgeClient, timeoutMs: number) {
    this.#edge = edge;
    this.#timeoutMs = timeoutMs;
  }

  /** What is wrong with the edge, undefined if nothing is. It does not reject. */
  async failure(): Promise<EdgeFailure | undefined> {
    const nowMs = performance.now();
    if (this.#asked === undefined || nowMs - this.#askedMs > FRESH_MS) {
      this.#asked = this.#ask();
      this.#askedMs = nowMs;
    }
    return this.#asked;
  }

  async #ask(): Promise<EdgeFailure | undefined> {
    const result = await this.#edge.post(new Uint8Array(0), this.#timeoutMs);
    if (result.kind === "failed") return result;
    const answered = result.answers.byteLength;
    return answered === 0 ? undefined : edgeFailure("edge_bad_answer", `${answered} bytes answer no packets`);
  }
}

/** A failing edge fails thousands of batches: each code is logged once in this time. */
const INTERVAL_MS = 10_000;

/** Logs why the edge could not be asked, at a bounded rate. */
export class EdgeFailureLog {
  readonly #logger: Logger;
  readonly #byCode = new Map<EdgeFailureCode, { loggedMs: number; suppressed: number }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  log(failure: EdgeFailure, nowMs = performance.now()): void {
    const last = this.#byCode.get(failure.code);
    if (last !== undefined && nowMs - last.loggedMs < INTERVAL_MS) {
      last.suppressed += 1;
      return;
    }
    this.#byCode.set(failure.code, { loggedMs: nowMs, suppressed: 0 });
    const { code, detail } = failure;
    this.#logger.warn({ code, detail, suppressed: last?.suppressed ?? 0 }, "the edge could not be asked");
  }
}
