import { expect, test } from "vitest";
import { runFailoverSeries } from "../support/redis/failover-series.ts";

/** What a shared machine may add; a primary that is not found at all takes ten times as long. */
const SLACK_MS = 1_000;
const FAILOVERS = 6;

test.concurrent.each([0, 2, 5, 20, 50])(
  "every failover is over within a second of the promotion with sentinels %i ms away",
  async (distanceMs) => {
    const { lost, slowestMs } = await runFailoverSeries(distanceMs, FAILOVERS, distanceMs);
    expect(lost).toBe(0);
    expect(slowestMs).toBeLessThan(1_000 + SLACK_MS);
  },
);
