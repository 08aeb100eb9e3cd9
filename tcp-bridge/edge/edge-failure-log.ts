import type { Logger } from "pino";
import type { EdgeFailure, EdgeFailureCode } from "./edge-result.ts";

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
