import { describe, expect, test } from "vitest";
import { BROKEN_RULES, NEVER_FROM_MEMORY } from "../../support/leases/broken-rules.ts";
import { FIRST_LEASE_SEEDS, findBrokenRule, runLeaseScenarios } from "../../support/leases/run-lease-scenarios.ts";
import { seedsFrom } from "../../support/simulator/run-scenarios.ts";

/** `LEASE_SEED=17 npx vitest run --project node lease-scenarios` runs one seed again; `SCENARIOS` runs more or fewer. */
const { LEASE_SEED, SCENARIOS = String(FIRST_LEASE_SEEDS) } = process.env;
const SEEDS = LEASE_SEED === undefined ? seedsFrom(1, Number(SCENARIOS)) : [Number(LEASE_SEED)];

describe("hubs, bridges and a worker over a network that fails at random", () => {
  test(`keep the promise of leases in each of ${SEEDS.length} scenarios`, { timeout: 600_000 }, () =>
    runLeaseScenarios(SEEDS),
  );

  describe.each(BROKEN_RULES)("break the promise, rule $rule, if $what", (rule) => {
    test("and a scenario shows it", { timeout: 600_000 }, () => {
      expect(findBrokenRule(rule)).toMatch(rule.fault);
    });
  });

  test("do not keep it by asking the store each time: a scenario shows that too", () => {
    expect(findBrokenRule(NEVER_FROM_MEMORY)).toMatch(NEVER_FROM_MEMORY.fault);
  });

  test("are tried with each of the eight rules broken", () => {
    expect([...new Set(BROKEN_RULES.map(({ rule }) => rule))]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });
});
