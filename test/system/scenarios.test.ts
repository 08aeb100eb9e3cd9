import { describe, it } from "vitest";
import { ALL_SEEDS, FIRST_SEEDS, runScenarios, seedsFrom } from "../support/simulator/run-scenarios.ts";

const SEEDS = seedsFrom(FIRST_SEEDS + 1, ALL_SEEDS);

describe("a client and a room over a network that fails at random", () => {
  it(`keep the contract in the ${SEEDS.length} scenarios that npm test leaves out`, { timeout: 600_000 }, () =>
    runScenarios(SEEDS),
  );
});
