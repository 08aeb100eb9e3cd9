import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EdgeRedial } from "../../../tcp-bridge/edge/edge-redial.ts";

describe("the delay before a bridge dials the edge again", () => {
  beforeEach(() => {
    vi.spyOn(Math, "random").mockReturnValue(0.5);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("doubles from 250 ms to 8 s, at random below that", () => {
    const redial = new EdgeRedial();
    const delaysMs = Array.from({ length: 8 }, () => redial.delayMs(0, false));
    expect(delaysMs).toEqual([125, 250, 500, 1000, 2000, 4000, 4000, 4000]);
  });

  it("begins anew after a connection that was in use for 10 s, and not after a shorter one", () => {
    const redial = new EdgeRedial();
    redial.delayMs(0, false);
    expect(redial.delayMs(9_999, false)).toBe(250);
    expect(redial.delayMs(10_000, false)).toBe(125);
  });

  it("is 30 s to 60 s after a refusal that only an operator ends", () => {
    expect(new EdgeRedial().delayMs(0, true)).toBe(45_000);
  });
});

describe("the log of a connection to the edge", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("has each change of its state, and a state that comes again at most once a minute", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const redial = new EdgeRedial();
    expect(["live", "lost", "lost", "live", "lost"].map((state) => redial.isNews(state))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    vi.advanceTimersByTime(60_000);
    expect(redial.isNews("live")).toBe(true);
  });
});
