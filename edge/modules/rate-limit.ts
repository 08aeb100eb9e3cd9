/** A limit of wrangler.toml's `ratelimits`. */
export interface RateLimitEnv {
  /** Calls that one key may make in a period. */
  readonly limit: number;
  readonly periodSeconds: number;
}

/**
 * The most keys that are counted at once, some 10 MB. If there are more, the one that has been counted for longest is forgotten. Whoever
 * wants that for a key of his own needs as many others, and each of them may make as many calls.
 */
const MAX_KEYS = 100_000;

interface Window {
  readonly endsMs: number;
  calls: number;
}

/**
 * A rate limit of the worker outside Cloudflare, counted in memory: exactly, for this edge alone, from zero after each start. A key's
 * period begins with its first call.
 */
export default function openRateLimit({ limit, periodSeconds }: RateLimitEnv): RateLimit {
  const windows = new Windows();
  return {
    async limit({ key }) {
      const window = windows.of(key, Date.now(), periodSeconds * 1000);
      if (window.calls >= limit) return { success: false };
      window.calls += 1;
      return { success: true };
    },
  };
}

class Windows {
  /** In the order in which they began, and so in that in which they end. */
  readonly #windows = new Map<string, Window>();

  /** The key's window; a new one if it has none. */
  of(key: string, nowMs: number, periodMs: number): Window {
    this.#forgetEnded(nowMs);
    const running = this.#windows.get(key);
    if (running !== undefined) return running;
    const [oldest] = this.#windows.size < MAX_KEYS ? [] : this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
    const begun = { endsMs: nowMs + periodMs, calls: 0 };
    this.#windows.set(key, begun);
    return begun;
  }

  #forgetEnded(nowMs: number): void {
    for (const [key, { endsMs }] of this.#windows) {
      if (endsMs > nowMs) return;
      this.#windows.delete(key);
    }
  }
}
