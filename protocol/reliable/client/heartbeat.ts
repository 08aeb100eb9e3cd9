/** What a path's silence asks for: a ping, a second connection, or its end. */
export type HeartbeatVerdict = "ping" | "suspect" | "dead";

export interface HeartbeatLimits {
  readonly pingAfterIdleMs: number;
  readonly deadAfterSilenceMs: number;
  readonly probeMs: number;
}

/**
 * Watches one connection for silence: idle, it is pinged; what is not answered within the probe makes it suspect long
 * before the socket dies; anything heard clears it; and what stays silent is dead (half-open detection).
 */
export class Heartbeat {
  readonly #limits: HeartbeatLimits;
  #heardMs: number;
  #sentMs: number;
  /** When a message that the room has not answered asks for a ping. */
  #probeAtMs: number | undefined;
  /** When the ping that is out makes the path suspect. */
  #suspectAtMs: number | undefined;
  #suspect = false;

  constructor(limits: HeartbeatLimits, nowMs: number) {
    this.#limits = limits;
    this.#heardMs = nowMs;
    this.#sentMs = nowMs;
  }

  /** A probe went unanswered, and nothing was heard since. */
  get isSuspect(): boolean {
    return this.#suspect;
  }

  /** Bytes came in. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#probeAtMs = undefined;
    this.#suspectAtMs = undefined;
    this.#suspect = false;
  }

  /** Bytes went out. */
  sent(nowMs: number): void {
    this.#sentMs = nowMs;
  }

  /** Something went out that the room answers soon. */
  sentQuestion(nowMs: number): void {
    this.#sentMs = nowMs;
    this.#probeAtMs ??= nowMs + this.#limits.probeMs;
  }

  /** A ping went out. */
  pinged(nowMs: number): void {
    this.#sentMs = nowMs;
    this.#suspectAtMs ??= nowMs + this.#limits.probeMs;
  }

  /**
   * What is due now. `suspect` is given once; a ping is due until {@link pinged}. Silence alone kills no path, an unanswered
   * ping does: browsers wake the timers of a hidden page once a minute, and then nobody has asked anything.
   */
  due(nowMs: number): HeartbeatVerdict | undefined {
    if (this.#suspect) return nowMs >= this.#deadMs() ? "dead" : undefined;
    if (this.#suspectAtMs === undefined) return nowMs >= this.#pingAtMs() ? "ping" : undefined;
    if (nowMs < this.#suspectAtMs) return undefined;
    this.#suspect = true;
    return "suspect";
  }

  /** When {@link due} has something to say next. */
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
