import { type AckLimits, DEFAULT_ACK_LIMITS, SEND_WINDOW, type WindowLimits } from "../flow-control.ts";
import type { BackOffLimits } from "./back-off.ts";

/** The configuration of a client machine. */
export interface ClientConfig {
  /** 20 bytes, or zeroes where the WebSocket's upgrade carries the credential. */
  readonly token: Uint8Array;
  readonly room: string;
  /** The heartbeat: `packet` is the packet Ping over TCP, `text` the text `ping` on a WebSocket. */
  readonly heartbeat: "packet" | "text";
  /** The wall clock in epoch ms, read when a fresh Join is sent: {@link freshAttemptAt}. */
  readonly epochMs: () => number;
  /** Numbers in 0 <= x < 1, for the back-off. */
  readonly random: () => number;
  readonly limits?: Partial<ClientLimits>;
}

/** 2026-01-01: with it, tenths of a second fit a u32 until 2039. */
const ATTEMPT_ORIGIN_MS = 1_767_225_600_000;

/**
 * The lowest `attempt` of a fresh Join at this epoch ms. A browser window that takes over a session starts above all attempts
 * of the window before, because nobody dials ten times a second. So a window that did not notice that it was replaced cannot
 * take back the seat, in which the other window's messages have been counted since.
 */
export function freshAttemptAt(epochMs: number): number {
  return Math.max(1, Math.floor((epochMs - ATTEMPT_ORIGIN_MS) / 100) % 2 ** 32);
}

/** The client machine's timers and bounds (docs/architecture.md, "Reliable sessions and rooms"). */
export interface ClientLimits extends AckLimits, BackOffLimits, WindowLimits {
  /** A connection that was silent for this time in either direction is pinged. Joined's `heartbeatSeconds` replaces it. */
  readonly pingAfterIdleMs: number;
  /** A connection from which nothing was received for this time is dead. */
  readonly deadAfterSilenceMs: number;
  /** A ping without a response for this time makes the connection suspect. */
  readonly probeMs: number;
  /** From a dial to its Joined. After that the client dials again. */
  readonly dialTimeoutMs: number;
  /** How long a room holds the seat of a lost connection. Joined's `retentionSeconds` replaces it. */
  readonly retentionMs: number;
}

export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  ...DEFAULT_ACK_LIMITS,
  pingAfterIdleMs: 10_000,
  // At least two pings before the verdict: one lost ping must not end a connection.
  deadAfterSilenceMs: 25_000,
  probeMs: 2_000,
  dialTimeoutMs: 10_000,
  retentionMs: 30_000,
  redialMs: 10,
  backOffBaseMs: 250,
  backOffCapMs: 8_000,
  ...SEND_WINDOW,
};
