import type { EdgeClient } from "./edge-client.ts";
import { type EdgeFailure, edgeFailure } from "./edge-result.ts";

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
