import { expect } from "vitest";
import { runScenario, type ScenarioReport } from "./scenario.ts";

/** The seeds that `npm test` runs; test/system/scenarios.test.ts runs the rest, up to {@link ALL_SEEDS}. */
export const FIRST_SEEDS = 300;
export const ALL_SEEDS = 10_000;

/** The seeds `first`..`last`. */
export function seedsFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Runs the scenarios of these seeds; it fails with the seed and the fault of each that breaks the contract. */
export function runScenarios(seeds: readonly number[]): void {
  const broken: string[] = [];
  const total = { delivered: 0, handovers: 0, failedHandovers: 0, gaps: 0, unacked: 0, tooFast: 0, tooSlow: 0 };
  for (const seed of seeds) {
    const report = runOrExplain(seed);
    for (const fault of report.faults) broken.push(`SCENARIO_SEED=${seed} ${fault}`);
    if (broken.length > 50) break;
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += report[key];
  }
  expect(broken).toEqual([]);
  if (seeds.length < 1000) return;
  // Handovers, gaps and refusals must happen in the scenarios, or they would prove nothing about them.
  const { tooFast, tooSlow, ...often } = total;
  expect(Math.min(...Object.values(often))).toBeGreaterThan(seeds.length / 20);
  expect(Math.min(tooFast, tooSlow)).toBeGreaterThan(seeds.length / 200);
}

function runOrExplain(seed: number): ScenarioReport {
  try {
    return runScenario(seed);
  } catch (error) {
    throw new Error(`SCENARIO_SEED=${seed}`, { cause: error });
  }
}
