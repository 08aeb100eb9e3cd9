import { describe, expect, it } from "vitest";
import { runScenario, type ScenarioReport } from "../../support/simulator/scenario.ts";

/** `SCENARIO_SEED=17 npx vitest run --project node scenarios` runs that one again; `SCENARIOS` runs more or fewer. */
const { SCENARIO_SEED, SCENARIOS = "10000" } = process.env;
const SEEDS =
  SCENARIO_SEED === undefined
    ? Array.from({ length: Number(SCENARIOS) }, (_, seed) => seed + 1)
    : [Number(SCENARIO_SEED)];
const TIME_LIMIT_MS = 600_000;

describe("random scenarios of a client and a room over a network that fails", () => {
  it(
    `keeps the contract in each of ${SEEDS.length}`,
    () => {
      const broken: string[] = [];
      const total = { delivered: 0, handovers: 0, failedHandovers: 0, gaps: 0, unacked: 0, tooFast: 0, tooSlow: 0 };
      for (const seed of SEEDS) {
        const report = runOrExplain(seed);
        for (const fault of report.faults) broken.push(`SCENARIO_SEED=${seed} ${fault}`);
        if (broken.length > 50) break;
        for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += report[key];
      }
      expect(broken).toEqual([]);
      // The scenarios are worth something only if what they are about happens in them.
      const { tooFast, tooSlow, ...often } = total;
      if (SEEDS.length < 1000) return;
      expect(Math.min(...Object.values(often))).toBeGreaterThan(SEEDS.length / 20);
      expect(Math.min(tooFast, tooSlow)).toBeGreaterThan(SEEDS.length / 200);
    },
    TIME_LIMIT_MS,
  );
});

function runOrExplain(seed: number): ScenarioReport {
  try {
    return runScenario(seed);
  } catch (error) {
    throw new Error(`SCENARIO_SEED=${seed}`, { cause: error });
  }
}
