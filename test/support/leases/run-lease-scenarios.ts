import { expect } from "vitest";
import type { BrokenRule } from "./broken-rules.ts";
import { type LeaseReport, runLeaseScenario } from "./lease-scenario.ts";

/** `npm test` runs the seeds up to this one, `npm run test:system` the others. */
export const FIRST_LEASE_SEEDS = 200;

/** A broken rule must be found in so many scenarios. */
const SEEDS_TO_FIND = 2_000;

/** Runs the scenarios of these seeds; it fails with the seed and the fault of each that breaks the promise. */
export function runLeaseScenarios(seeds: readonly number[]): void {
  const broken: string[] = [];
  const total = { troubledHits: 0, calmHits: 0, lapses: 0, connects: 0, resets: 0, closes: 0, longWaits: 0 };
  for (const seed of seeds) {
    const report = runOrExplain(seed);
    for (const fault of report.faults) broken.push(`LEASE_SEED=${seed} ${fault}`);
    if (broken.length > 50) break;
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += report[key];
  }
  expect(broken).toEqual([]);
  if (seeds.length < 1000) return;
  // All this must happen in the scenarios, or they would prove nothing about it.
  const { troubledHits, calmHits, closes, ...rare } = total;
  expect(closes).toBeGreaterThan(seeds.length / 100);
  expect(Math.min(troubledHits, calmHits)).toBeGreaterThan(seeds.length * 20);
  expect(Math.min(...Object.values(rare))).toBeGreaterThan(seeds.length / 4);
}

/** The first fault that a broken rule leads to, with its seed; undefined if no scenario finds one. */
export function findBrokenRule({ fault, parts }: BrokenRule): string | undefined {
  for (let seed = 1; seed <= SEEDS_TO_FIND; seed++) {
    const found = runLeaseScenario(seed, parts).faults.find((text) => fault.test(text));
    if (found !== undefined) return `LEASE_SEED=${seed} ${found}`;
  }
  return undefined;
}

function runOrExplain(seed: number): LeaseReport {
  try {
    return runLeaseScenario(seed);
  } catch (error) {
    throw new Error(`LEASE_SEED=${seed}`, { cause: error });
  }
}
