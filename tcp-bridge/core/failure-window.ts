import { packetSizeAt, packetType } from "../../protocol/packet-framing.ts";
import { REQUEST_TYPES } from "../../protocol/service-packets.ts";
import { Status } from "../../protocol/status.ts";

const WINDOW_MS = 60_000;

/** A packet's status is its first field (docs/wire-protocol.md, "Service packets"). */
const STATUS_OFFSET = 4;

/**
 * Whether a request's verdict tells if a session exists. A sessid is an int32, so who may ask without end can find the
 * living ones: these are the requests that are counted and refused.
 */
export function isGuess(type: number): boolean {
  return type === REQUEST_TYPES.check || type === REQUEST_TYPES.checkAccess || type === REQUEST_TYPES.delete;
}

/** The failing checks of one connection in windows of one minute; it is never allowed more than its limit. */
export class FailureWindow {
  readonly #limit: number;
  #startMs = 0;
  #failures = 0;

  /** `limit`: failures a minute. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many more may fail now. Exact if no request of the connection is in flight. */
  allowance(nowMs: number): number {
    if (nowMs - this.#startMs >= WINDOW_MS) this.#failures = 0;
    return this.#limit - this.#failures;
  }

  /** Counts the failures among answers: NotFound or Denied to what {@link isGuess} names. */
  count(answers: Uint8Array, nowMs: number): void {
    for (let at = 0; at < answers.byteLength; at += packetSizeAt(answers, at)) {
      const status = answers[at + STATUS_OFFSET];
      if (status !== Status.NotFound && status !== Status.Denied) continue;
      const answerType = packetType(answers, at);
      if (!isGuess(answerType - 1)) continue;
      if (this.allowance(nowMs) === this.#limit) this.#startMs = nowMs;
      this.#failures += 1;
    }
  }
}
