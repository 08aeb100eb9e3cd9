/**
 * The delay before a dial is random, up to the first of these, doubling up to the second, so that bridges that one fault disconnected
 * do not return at the same time (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 8_000;

/** A connection that was in use for so long was good: the delays begin anew. */
const GOOD_MS = 10_000;

/** The delay after a refusal that only an operator ends: an edge without the route, a wrong key. Half of it at the least. */
const REFUSED_DELAY_MS = 60_000;

/** A connection that a bridge holds to the edge: when it is dialled again, and what of its states is news for the log. */
export class EdgeRedial {
  /** Dials since the last good connection. */
  #dials = 0;
  readonly #news = new StateNews();

  /**
   * The ms to wait before the next dial.
   *
   * @param usedMs for how long the connection was in use; 0: it never was
   * @param isLasting whether only an operator can change why it ended
   */
  delayMs(usedMs: number, isLasting: boolean): number {
    if (usedMs >= GOOD_MS) this.#dials = 0;
    const delayMs = Math.random() * Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#dials);
    this.#dials += 1;
    return isLasting ? REFUSED_DELAY_MS * (1 - Math.random() / 2) : delayMs;
  }

  /** Whether the connection's state is to be logged: it is another than before, and was not logged lately. */
  isNews(state: string): boolean {
    return this.#news.isNews(state);
  }
}

/** A state that comes again is not logged again within this time. */
const NEWS_INTERVAL_MS = 60_000;

/** Which of the states of something are news for the log. There are few states. */
export class StateNews {
  readonly #loggedMs = new Map<string, number>();
  #state: string;

  /** `state`: the one that nobody needs to be told. */
  constructor(state = "") {
    this.#state = state;
  }

  /** Whether a state is to be logged: it is another than before, and was not logged lately. */
  isNews(state: string): boolean {
    if (state === this.#state) return false;
    this.#state = state;
    const nowMs = performance.now();
    if (nowMs - (this.#loggedMs.get(state) ?? Number.NEGATIVE_INFINITY) < NEWS_INTERVAL_MS) return false;
    this.#loggedMs.set(state, nowMs);
    return true;
  }
}
