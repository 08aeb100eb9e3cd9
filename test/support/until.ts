import { setTimeout as pause } from "node:timers/promises";

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 20;
const GENEROUS_MS = 30_000;

/**
 * Resolves with the first value of `probe` that is neither undefined nor false: for a state that real sockets and processes
 * reach in their own time. A probe that throws counts as "not yet". The deadline only bounds a failure.
 */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = GENEROUS_MS,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  let lastError: unknown;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${probe}`, { cause: lastError });
    await pause(pauseMs);
  }
}
