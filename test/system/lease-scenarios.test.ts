import { describe, test } from "vitest";
import { FIRST_LEASE_SEEDS, runLeaseScenarios } from "../support/leases/run-lease-scenarios.ts";
import { ALL_SEEDS, seedsFrom } from "../support/simulator/run-scenarios.ts";

const SEEDS = seedsFrom(FIRST_LEASE_SEEDS + 1, ALL_SEEDS);

describe("hubs, bridges and a worker over a network that fails at random", () => {
  test(
    `keep the promise of leases in the ${SEEDS.length} scenarios that npm test leaves out`,
    { timeout: 600_000 },
    () => runLeaseScenarios(SEEDS),
  );
});
