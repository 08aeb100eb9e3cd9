/** When a cumulative Ack leaves: after so many messages, bytes or ms, whichever is first. */
export interface AckLimits {
  readonly ackAfterMessages: number;
  readonly ackAfterBytes: number;
  readonly ackDelayMs: number;
}

/** docs/architecture.md, "Reliable sessions and rooms". */
export const DEFAULT_ACK_LIMITS: AckLimits = { ackAfterMessages: 16, ackAfterBytes: 32 * 1024, ackDelayMs: 100 };

/** Decides when one side acknowledges what it has: both the client and the room do it this way. */
export class AckPolicy {
  readonly #limits: AckLimits;
  #messages = 0;
  #bytes = 0;
  #deadlineMs: number | undefined;

  constructor(limits: AckLimits) {
    this.#limits = limits;
  }

  /** When an Ack is due, undefined while nothing waits for one. */
  get deadlineMs(): number | undefined {
    return this.#deadlineMs;
  }

  /** A new message of `bytes` arrived. */
  arrived(bytes: number, nowMs: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
    const enough = this.#messages >= this.#limits.ackAfterMessages || this.#bytes >= this.#limits.ackAfterBytes;
    if (enough) this.#deadlineMs = nowMs;
    else this.#deadlineMs ??= nowMs + this.#limits.ackDelayMs;
  }

  /** The peer sent a duplicate: it does not know what this side has. */
  urge(nowMs: number): void {
    this.#deadlineMs = nowMs;
  }

  isDue(nowMs: number): boolean {
    return this.#deadlineMs !== undefined && this.#deadlineMs <= nowMs;
  }

  /** An Ack of everything left, or the connection that owed it is gone. */
  settle(): void {
    this.#messages = 0;
    this.#bytes = 0;
    this.#deadlineMs = undefined;
  }
}
