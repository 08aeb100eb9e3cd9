import { type AckLimits, DEFAULT_ACK_LIMITS, SEND_WINDOW, type WindowLimits } from "../flow-control.ts";

/** What a client machine is made with. */
export interface ClientConfig {
  /** 20 bytes, or zeroes where the WebSocket's upgrade carries the credential. */
  readonly token: Uint8Array;
  readonly room: string;
  /** Who answers the heartbeat: `packet` is Ping over TCP, `text` the text `ping` on a WebSocket. */
  readonly heartbeat: "packet" | "text";
  /** The wall clock in epoch ms, asked when a fresh Join leaves: {@link freshAttemptAt}. */
  readonly epochMs: () => number;
  /** Numbers in 0 <= x < 1, for the back-off. */
  readonly random: () => number;
  readonly limits?: Partial<ClientLimits>;
}

/** 2026-01-01: with it, tenths of a second fit a u32 until 2039. */
const ATTEMPT_ORIGIN_MS = 1_767_225_600_000;

/**
 * The lowest `attempt` of a fresh Join at this epoch ms. A window that takes over a session starts above all that the one
 * before it has got to, for nobody dials ten times a second: so that one, should it miss that it was replaced, cannot take
 * back a seat in which another's messages have been counted since.
 */
export function freshAttemptAt(epochMs: number): number {
  return Math.max(1, Math.floor((epochMs - ATTEMPT_ORIGIN_MS) / 100) % 2 ** 32);
}

/** The client machine's timers and bounds (docs/architecture.md, "Reliable sessions and rooms"). */
export interface ClientLimits extends AckLimits, WindowLimits {
  /** A path that was silent for so long, in either direction, is pinged. Joined's `heartbeatSeconds` replaces it. */
  readonly pingAfterIdleMs: number;
  /** A connection from which nothing was heard for so long is dead. */
  readonly deadAfterSilenceMs: number;
  /** What must be answered and is not for so long makes the path suspect. */
  readonly probeMs: number;
  /** From a dial to its Joined; then the next dial. */
  readonly dialTimeoutMs: number;
  /** How long a room holds the seat of a lost connection. Joined's `retentionSeconds` replaces it. */
  readonly retentionMs: number;
  readonly backOffBaseMs: number;
  readonly backOffCapMs: number;
}

export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  ...DEFAULT_ACK_LIMITS,
  pingAfterIdleMs: 10_000,
  // At least two pings before the verdict, or links flap.
  deadAfterSilenceMs: 25_000,
  probeMs: 2_000,
  dialTimeoutMs: 10_000,
  retentionMs: 30_000,
  backOffBaseMs: 250,
  backOffCapMs: 8_000,
  ...SEND_WINDOW,
};
