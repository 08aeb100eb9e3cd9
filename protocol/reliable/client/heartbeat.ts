/** What the silence of a connection requires: a ping, a second connection, or its end. */
export type HeartbeatVerdict = "ping" | "suspect" | "dead";

export interface HeartbeatLimits {
  readonly pingAfterIdleMs: number;
  readonly deadAfterSilenceMs: number;
  readonly probeMs: number;
}

/**
 * Detects half-open connections by their silence. An idle connection is pinged. Without a response within `probeMs` it is
 * suspect, long before the socket fails; any received byte clears that. If it stays silent, it is dead.
 */
export class Heartbeat {
  readonly #limits: HeartbeatLimits;
  #heardMs: number;
  #sentMs: number;
  /** When to ping because the room has not responded to a message. */
  #probeAtMs: number | undefined;
  /** When the ping that was sent makes the connection suspect. */
  #suspectAtMs: number | undefined;
  #suspect = false;

  constructor(limits: HeartbeatLimits, nowMs: number) {
    this.#limits = limits;
    this.#heardMs = nowMs;
    this.#sentMs = nowMs;
  }

  /** A ping got no response, and nothing was received since. */
  get isSuspect(): boolean {
    return this.#suspect;
  }

  /** Bytes were received. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#probeAtMs = undefined;
    this.#suspectAtMs = undefined;
    this.#suspect = false;
  }

  /** Bytes were sent. */
  sent(nowMs: number): void {
    this.#sentMs = nowMs;
  }

  /** A packet was sent that the room responds to soon. */
  sentQuestion(nowMs: number): void {
    this.#sentMs = nowMs;
    this.#probeAtMs ??= nowMs + this.#limits.probeMs;
  }

  /** A ping was sent. */
  pinged(nowMs: number): void {
    this.#sentMs = nowMs;
    this.#suspectAtMs ??= nowMs + this.#limits.probeMs;
  }

  /**
   * What is due now. It returns `suspect` once, and `ping` until {@link pinged}. Silence alone ends no connection, only a ping
   * without a response does: browsers run the timers of a hidden page once a minute, so no ping may have been sent.
   */
  due(nowMs: number): HeartbeatVerdict | undefined {
    if (this.#suspect) return nowMs >= this.#deadMs() ? "dead" : undefined;
    if (this.#suspectAtMs === undefined) return nowMs >= this.#pingAtMs() ? "ping" : undefined;
    if (nowMs < this.#suspectAtMs) return undefined;
    this.#suspect = true;
    return "suspect";
  }

  /** When {@link due} must be called next. */
  get deadlineMs(): number {
    return this.#suspect ? this.#deadMs() : (this.#suspectAtMs ?? this.#pingAtMs());
  }

  #deadMs(): number {
    return this.#heardMs + this.#limits.deadAfterSilenceMs;
  }

  #pingAtMs(): number {
    const idleMs = Math.min(this.#heardMs, this.#sentMs) + this.#limits.pingAfterIdleMs;
    return Math.min(idleMs, this.#probeAtMs ?? idleMs);
  }
}
