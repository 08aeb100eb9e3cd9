import type { Dispatcher } from "undici";
import { type EdgeFailure, type EdgeResult, edgeFailure } from "./edge-result.ts";

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
