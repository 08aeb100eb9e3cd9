import { type AddressRecord, FailureWindow } from "../core/admission.ts";
import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from "../core/connection-limits.ts";

/** The limits of the player port. */
export interface PlayerPortLimits extends ConnectionLimits, PlayerAddressLimits {
  /** How long a Join may take from the end of the TLS handshake. */
  readonly joinMs: number;
  /** How much later Closed is sent to a player of a suspect address whose Join failed. */
  readonly failedJoinDelayMs: number;
  /** How long the edge may take to respond to a Join or a ping. */
  readonly edgeDeadlineMs: number;
  /** While more than this many bytes of a player wait for the edge, the bridge does not read from the player. */
  readonly maxEdgeBytes: number;
}

export const DEFAULT_PLAYER_LIMITS: PlayerPortLimits = {
  ...DEFAULT_CONNECTION_LIMITS,
  // Players ping after 10 s of silence and give up after 25 s (docs/architecture.md). The bridge waits a little longer.
  idleMs: 30_000,
  // As long as a room waits for an Ack: the room paces a slow player, and the bridge must not close it earlier. A room sends up to
  // 256 KiB at once, so a link of 9 KB/s is enough.
  writeStallTimeoutMs: 30_000,
  joinMs: 5_000,
  maxFailedJoinsPerMinute: 60,
  maxAskedJoinsPerAddress: 32,
  // Less than a client waits for Joined, so that it receives the reason.
  failedJoinDelayMs: 3_000,
  // Less than the 10 s of a client from dialling to Joined, so that it receives the reason.
  edgeDeadlineMs: 5_000,
  // As much as a client may have unacknowledged.
  maxEdgeBytes: 256 * 1024,
};

/** The limits on the Joins of one address. */
export interface PlayerAddressLimits {
  /** Joins that may fail in a minute: the session is invalid or the player breaks the protocol. Then the address is suspect. */
  readonly maxFailedJoinsPerMinute: number;
  /** Joins of a suspect address that may be in flight at the same time. The others are queued. */
  readonly maxAskedJoinsPerAddress: number;
}

/**
 * The failed Joins of one address, and its Joins in flight. A valid session is always let in: the Joins of a suspect address are
 * sent to the edge too, only fewer at the same time, and a failure is reported later.
 */
export class PlayerAddress implements AddressRecord {
  readonly #limits: PlayerAddressLimits;
  readonly #failedJoins: FailureWindow;
  #connections = 0;
  #inFlight = 0;
  /** The callbacks that send the queued Joins, in the order in which these were received. */
  readonly #queued = new Set<() => void>();

  constructor(limits: PlayerAddressLimits) {
    this.#limits = limits;
    this.#failedJoins = new FailureWindow(limits.maxFailedJoinsPerMinute);
  }

  isIdle(nowMs: number): boolean {
    return this.#connections === 0 && this.#inFlight === 0 && this.#failedJoins.failures(nowMs) === 0;
  }

  /** Whether so many Joins have failed that further failures are reported later. */
  isSuspect(nowMs: number): boolean {
    return this.#failedJoins.allowance(nowMs) <= 0;
  }

  connected(): void {
    this.#connections += 1;
  }

  disconnected(): void {
    this.#connections -= 1;
  }

  /** A Join was received. `request` sends it: it is called now, or when others have their responses. */
  join(request: () => void, nowMs: number): void {
    if (this.#mayRequest(nowMs)) this.#request(request);
    else this.#queued.add(request);
  }

  /** Removes a Join from the queue, if it is there. */
  giveUp(request: () => void): void {
    this.#queued.delete(request);
  }

  /** A Join failed. */
  failed(nowMs: number): void {
    this.#failedJoins.count(1, nowMs);
  }

  /** A Join in flight got its response, or will get none. */
  joinEnded(nowMs: number): void {
    this.#inFlight -= 1;
    while (this.#queued.size > 0 && this.#mayRequest(nowMs)) {
      // The newest first: in a flood the oldest have already waited too long, and first-in, first-out would make every Join wait too long.
      const newest = [...this.#queued].at(-1);
      if (newest === undefined) return;
      this.#queued.delete(newest);
      this.#request(newest);
    }
  }

  #mayRequest(nowMs: number): boolean {
    return !this.isSuspect(nowMs) || this.#inFlight < this.#limits.maxAskedJoinsPerAddress;
  }

  #request(request: () => void): void {
    this.#inFlight += 1;
    request();
  }
}
