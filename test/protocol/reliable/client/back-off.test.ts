import { describe, expect, it } from "vitest";
import { BackOff } from "../../../../protocol/reliable/client/back-off.ts";
import { seededRandom } from "../../../support/random.ts";

const LIMITS = { redialMs: 10, backOffBaseMs: 250, backOffCapMs: 8_000 };

describe("BackOff", () => {
  it("doubles its ceiling from 250 ms to 8 s, and stays there", () => {
    const backOff = new BackOff(LIMITS, () => 1);
    const delays = Array.from({ length: 8 }, () => backOff.nextDelayMs());
    expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
  });

  it("is spread over the whole of 0..ceiling", () => {
    const random = seededRandom(7);
    const delays = Array.from({ length: 1_000 }, () =>
      new BackOff({ ...LIMITS, backOffBaseMs: 1_000 }, () => random.next()).nextDelayMs(),
    );
    for (let tenth = 0; tenth < 10; tenth++) {
      const within = delays.filter((delay) => delay >= tenth * 100 && delay < (tenth + 1) * 100);
      expect(within.length).toBeGreaterThan(50);
    }
  });

  it("starts again after a reset", () => {
    const backOff = new BackOff(LIMITS, () => 1);
    backOff.nextDelayMs();
    backOff.nextDelayMs();
    backOff.reset();
    expect(backOff.nextDelayMs()).toBe(250);
  });

  it("uses the cap for a client that was told to return later", () => {
    expect(new BackOff(LIMITS, () => 0.5).longDelayMs()).toBe(4_000);
  });

  it("waits at most 10 ms before the first dial after a connection broke, which counts no failure", () => {
    const backOff = new BackOff(LIMITS, () => 1);
    expect([backOff.redialDelayMs(), backOff.redialDelayMs(), backOff.nextDelayMs()]).toEqual([10, 10, 250]);
  });
});
