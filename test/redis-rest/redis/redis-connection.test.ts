import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { BatchOutcome } from "../../../redis-rest/redis/redis-connection.ts";
import { withinDeadline } from "../../../redis-rest/redis/redis-connection.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const replies: BatchOutcome = { kind: "replies", replies: [null] };

test("a batch without an outcome is unavailable at the deadline, not before", async () => {
  const settled = vi.fn<(outcome: BatchOutcome) => void>();
  const done = withinDeadline(new Promise<BatchOutcome>(() => undefined), 1_000).then(settled);
  await vi.advanceTimersByTimeAsync(999);
  expect(settled).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  await done;
  expect(settled).toHaveBeenCalledWith({
    kind: "unavailable",
    message: "ERR Redis did not answer within 1000 ms; the command may have been executed; try again",
  });
});

test("a batch with an outcome in time keeps it and leaves no timer behind", async () => {
  expect(await withinDeadline(Promise.resolve(replies), 1_000)).toBe(replies);
  expect(vi.getTimerCount()).toBe(0);
});
