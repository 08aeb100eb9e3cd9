import { vi } from "vitest";

/** Waits for a state that real sockets and processes reach in their own time; the timeout only bounds a failure. */
export async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitUntil(reached, { interval: 5, timeout: 30_000 });
}
