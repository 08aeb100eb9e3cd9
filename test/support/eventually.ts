import { setTimeout as pause } from "node:timers/promises";

const POLL_MS = 20;
const GENEROUS_MS = 30_000;

/**
 * Resolves with the first value of `probe` that is neither undefined nor false. For a state that something outside the
 * test reaches in its own time; the deadline only bounds a failure. What the probe throws counts as "not yet".
 */
export async function eventually<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = GENEROUS_MS,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  let lastError: unknown;
  while (performance.now() < endMs) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    await pause(POLL_MS);
  }
  throw new Error(`not within ${deadlineMs} ms: ${probe}`, { cause: lastError });
}
