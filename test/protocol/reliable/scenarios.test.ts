import { describe, it } from "vitest";
import { FIRST_SEEDS, runScenarios, seedsFrom } from "../../support/simulator/run-scenarios.ts";

/** `SCENARIO_SEED=17 npx vitest run --project node scenarios` runs one seed again; `SCENARIOS` runs more or fewer. */
const { SCENARIO_SEED, SCENARIOS = String(FIRST_SEEDS) } = process.env;
const SEEDS = SCENARIO_SEED === undefined ? seedsFrom(1, Number(SCENARIOS)) : [Number(SCENARIO_SEED)];

describe("a client and a room over a network that fails at random", () => {
  it(`keep the contract in each of ${SEEDS.length} scenarios`, { timeout: 600_000 }, () => runScenarios(SEEDS));
});
