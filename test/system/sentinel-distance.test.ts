import { expect, test } from "vitest";
import { runFailoverSeries } from "../support/redis/failover-series.ts";

/*
 * Failovers in a row, with one redis-rest throughout and three scripted sentinels at five distances at once. FAILOVERS says
 * how many of each: FAILOVERS=1000 npx vitest run --config vitest.system.config.ts test/system/sentinel-distance.test.ts
 * takes six minutes.
 */

const FAILOVERS = Number(process.env["FAILOVERS"] || 60);
/** What a shared machine may add; a primary that is not found at all takes ten times as long. */
const SLACK_MS = 1_000;
const EACH_TAKES_MS = 5_000;

test.concurrent.each([0, 2, 5, 20, 50])(
  "no failover of many loses the primary with sentinels %i ms away",
  async (distanceMs) => {
    const { lost, slowestMs } = await runFailoverSeries(distanceMs, FAILOVERS, 1_000 + distanceMs);
    expect(lost).toBe(0);
    expect(slowestMs).toBeLessThan(1_000 + SLACK_MS);
  },
  FAILOVERS * EACH_TAKES_MS,
);
