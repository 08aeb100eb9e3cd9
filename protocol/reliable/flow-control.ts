import { HEADER_BYTES } from "../packet-framing.ts";

/** How much a client may have published and the room not yet acked. */
export interface WindowLimits {
  readonly windowMessages: number;
  /** Bytes of those messages as {@link publishBytes} counts them. */
  readonly windowBytes: number;
}

/** The window of every client (docs/wire-protocol.md, "Messages"): a room closes a connection that exceeds it. */
export const SEND_WINDOW: WindowLimits = { windowMessages: 1024, windowBytes: 256 * 1024 };

/** `seq u64, to u32` in front of a published body. */
const PUBLISH_OVERHEAD_BYTES = HEADER_BYTES + 8 + 4;

/** Bytes of a message as a window counts them: with its packet's header. */
export function publishBytes(body: Uint8Array): number {
  return PUBLISH_OVERHEAD_BYTES + body.byteLength;
}

/** A cumulative Ack leaves after this many messages, bytes or ms, whichever comes first. */
export interface AckLimits {
  readonly ackAfterMessages: number;
  readonly ackAfterBytes: number;
  readonly ackDelayMs: number;
}

/** docs/architecture.md, "Reliable sessions and rooms". */
export const DEFAULT_ACK_LIMITS: AckLimits = { ackAfterMessages: 16, ackAfterBytes: 32 * 1024, ackDelayMs: 100 };

/** Decides when a receiver acks what it has. The client and the room both use it. */
export class AckPolicy {
  readonly #limits: AckLimits;
  #messages = 0;
  #bytes = 0;
  #deadlineMs: number | undefined;

  constructor(limits: AckLimits) {
    this.#limits = limits;
  }

  /** When an Ack is due, undefined while none is owed. */
  get deadlineMs(): number | undefined {
    return this.#deadlineMs;
  }

  /** A new message of `bytes` was received. */
  onReceived(bytes: number, nowMs: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
    const enough = this.#messages >= this.#limits.ackAfterMessages || this.#bytes >= this.#limits.ackAfterBytes;
    if (enough) this.#deadlineMs = nowMs;
    else this.#deadlineMs ??= nowMs + this.#limits.ackDelayMs;
  }

  /** Makes an Ack due at once, for example after a duplicate: its sender does not know what this side has. */
  ackNow(nowMs: number): void {
    this.#deadlineMs = nowMs;
  }

  isDue(nowMs: number): boolean {
    return this.#deadlineMs !== undefined && this.#deadlineMs <= nowMs;
  }

  /** An Ack of everything was sent, or the connection that owed it has ended. */
  reset(): void {
    this.#messages = 0;
    this.#bytes = 0;
    this.#deadlineMs = undefined;
  }
}
