import { describe, expect, it } from "vitest";
import { FailedJoins } from "../../tcp-bridge/player/failed-joins.ts";

describe("the failed Joins of addresses", () => {
  it("exceed the limit of their own address alone, and are forgotten with the minute", () => {
    const failed = new FailedJoins(2);
    failed.count("192.0.2.1", 100_000);
    expect(failed.isExceeded("192.0.2.1", 100_000)).toBe(false);
    failed.count("192.0.2.1", 130_000);
    expect(failed.isExceeded("192.0.2.1", 159_999)).toBe(true);
    expect(failed.isExceeded("192.0.2.2", 159_999)).toBe(false);
    expect(failed.isExceeded("192.0.2.1", 160_000)).toBe(false);
  });

  it("are counted anew in the next minute", () => {
    const failed = new FailedJoins(1);
    failed.count("192.0.2.1", 100_000);
    failed.count("192.0.2.1", 200_000);
    expect(failed.isExceeded("192.0.2.1", 200_000)).toBe(true);
    expect(failed.isExceeded("192.0.2.1", 260_000)).toBe(false);
  });
});
