import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import openRateLimit from "../../../edge/modules/rate-limit.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a rate limit in memory", () => {
  test("allows as many calls of a key as the limit says, and refuses the rest of the period", async () => {
    const limit = openRateLimit({ limit: 3, periodSeconds: 60 });
    expect(await outcomes(limit, "a", 5)).toEqual([true, true, true, false, false]);
    vi.advanceTimersByTime(59_999);
    expect(await outcomes(limit, "a", 1)).toEqual([false]);
  });

  test("counts each key alone, and each limit", async () => {
    const [limit, other] = [
      openRateLimit({ limit: 1, periodSeconds: 60 }),
      openRateLimit({ limit: 1, periodSeconds: 60 }),
    ];
    expect(await outcomes(limit, "a", 2)).toEqual([true, false]);
    expect(await outcomes(limit, "b", 1)).toEqual([true]);
    expect(await outcomes(limit, "__proto__", 2)).toEqual([true, false]);
    expect(await outcomes(other, "a", 1)).toEqual([true]);
  });

  test("begins a key's next period with its first call after the last one, however many were refused", async () => {
    const limit = openRateLimit({ limit: 1, periodSeconds: 10 });
    expect(await outcomes(limit, "a", 9)).toEqual([true, ...Array(8).fill(false)]);
    vi.advanceTimersByTime(10_000);
    expect(await outcomes(limit, "a", 2)).toEqual([true, false]);
  });

  test("is not freed by a flood of fewer keys than it counts, nor does the flood refuse a key that has made no call", async () => {
    const limit = openRateLimit({ limit: 1, periodSeconds: 60 });
    await limit.limit({ key: "guesser" });
    for (let key = 0; key < 90_000; key++) await limit.limit({ key: `flood ${key}` });
    expect(await outcomes(limit, "guesser", 1)).toEqual([false]);
    expect(await outcomes(limit, "honest", 1)).toEqual([true]);
  });

  test("counts at most 100,000 keys at once", async () => {
    const limit = openRateLimit({ limit: 1, periodSeconds: 60 });
    for (let key = 0; key < 100_001; key++) await limit.limit({ key: `flood ${key}` });
    // The first has been forgotten for the last one, the second has not.
    expect(await outcomes(limit, "flood 1", 1)).toEqual([false]);
    expect(await outcomes(limit, "flood 0", 1)).toEqual([true]);
  });
});

async function outcomes(limit: RateLimit, key: string, calls: number): Promise<boolean[]> {
  const results: boolean[] = [];
  for (let call = 0; call < calls; call++) results.push((await limit.limit({ key })).success);
  return results;
}
