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
  /** In the order in which the windows began, and so in that in which they end. */
  const windows = new Map<string, Window>();
  return {
    async limit({ key }) {
      const nowMs = Date.now();
      forgetEnded(windows, nowMs);
      const window = windows.get(key) ?? { endsMs: nowMs + periodSeconds * 1000, calls: 0 };
      if (window.calls === 0) windows.set(key, window);
      if (window.calls >= limit) return { success: false };
      window.calls += 1;
      return { success: true };
    },
  };
}

function forgetEnded(windows: Map<string, Window>, nowMs: number): void {
  for (const [key, { endsMs }] of windows) {
    if (endsMs > nowMs && windows.size < MAX_KEYS) return;
    windows.delete(key);
  }
}
