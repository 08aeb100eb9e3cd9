import { type AddressRecord, FailureWindow } from "../core/address-book.ts";
import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from "../core/connection-limits.ts";

/** The limits of the player port. */
export interface PlayerPortLimits extends ConnectionLimits, PlayerAddressLimits {
  /** From the TLS handshake's end to the whole Join. */
  readonly joinMs: number;
  /** How late a player is told that its Join has failed, if its address is suspect. */
  readonly failedJoinDelayMs: number;
  /** The edge must answer a Join, and a ping, within this time. */
  readonly edgeDeadlineMs: number;
  /** Bytes of one player that the edge has not taken; above it the player is not read from. */
  readonly maxEdgeBytes: number;
}

/** Players ping after 10 s of silence and are dead after 25 s (docs/architecture.md); the bridge waits a little longer. */
export const DEFAULT_PLAYER_LIMITS: PlayerPortLimits = {
  ...DEFAULT_CONNECTION_LIMITS,
  idleMs: 30_000,
  // As long as a room waits for an Ack: it paces a slow player, and the bridge must not close it before. A room sends up to
  // 256 KiB at once, so this is a link of 9 KB/s.
  writeStallTimeoutMs: 30_000,
  joinMs: 5_000,
  maxFailedJoinsPerMinute: 60,
  maxAskedJoinsPerAddress: 32,
  // Below what a client waits for Joined, so that it hears why.
  failedJoinDelayMs: 3_000,
  // Below a client's 10 s from its dial to Joined, so that it hears why.
  edgeDeadlineMs: 5_000,
  // As much as a client may have unacknowledged.
  maxEdgeBytes: 256 * 1024,
};

/** What the Joins of one address may cost. */
export interface PlayerAddressLimits {
  /** Joins that may fail in a minute, by an unknown session or a broken protocol; then the address is suspect. */
  readonly maxFailedJoinsPerMinute: number;
  /** Joins of a suspect address that the edge is asked at once; the others wait. */
  readonly maxAskedJoinsPerAddress: number;
}

/**
 * What the players of one address have failed at, and what is asked for them. Whoever they are, a valid session is let in:
 * at a suspect address each Join is still asked of the edge, only not all at once, and who fails is told late.
 */
export class PlayerAddress implements AddressRecord {
  readonly #limits: PlayerAddressLimits;
  readonly #failedJoins: FailureWindow;
  #connections = 0;
  #asked = 0;
  /** What asks each Join that waits, in the order in which they came. */
  readonly #waiting = new Set<() => void>();

  constructor(limits: PlayerAddressLimits) {
    this.#limits = limits;
    this.#failedJoins = new FailureWindow(limits.maxFailedJoinsPerMinute);
  }

  isIdle(nowMs: number): boolean {
    return this.#connections === 0 && this.#asked === 0 && this.#failedJoins.failures(nowMs) === 0;
  }

  /** Whether so many Joins have failed that who fails now is told late. */
  isSuspect(nowMs: number): boolean {
    return this.#failedJoins.allowance(nowMs) <= 0;
  }

  connected(): void {
    this.#connections += 1;
  }

  disconnected(): void {
    this.#connections -= 1;
  }

  /** A Join has come: `ask` is called now, or when others are answered. */
  join(ask: () => void, nowMs: number): void {
    if (this.#mayAsk(nowMs)) this.#ask(ask);
    else this.#waiting.add(ask);
  }

  /** If the Join waits, it does no more. */
  giveUp(ask: () => void): void {
    this.#waiting.delete(ask);
  }

  failed(nowMs: number): void {
    this.#failedJoins.count(1, nowMs);
  }

  /** An asked Join was answered, or the edge will not be heard about it. */
  answered(nowMs: number): void {
    this.#asked -= 1;
    while (this.#waiting.size > 0 && this.#mayAsk(nowMs)) {
      // The newest first: in a flood the oldest have waited too long already, and a queue would make everybody wait so long.
      const newest = [...this.#waiting].at(-1);
      if (newest === undefined) return;
      this.#waiting.delete(newest);
      this.#ask(newest);
    }
  }

  #mayAsk(nowMs: number): boolean {
    return !this.isSuspect(nowMs) || this.#asked < this.#limits.maxAskedJoinsPerAddress;
  }

  #ask(ask: () => void): void {
    this.#asked += 1;
    ask();
  }
}
