import { expect, test } from "vitest";
import { runOutboxScenario } from "../support/webhooks/outbox-scenario.ts";

/** `npm test` runs the first 30 (test/worker/webhooks/webhook-scenarios.test.ts). */
const SEEDS = Array.from({ length: 1000 }, (_, index) => 31 + index);

test("each end is delivered, given up after its schedule, or told as lost in 1,000 more scenarios", {
  timeout: 600_000,
}, () => {
  const faults = SEEDS.flatMap((seed) => runOutboxScenario(seed).faults.map((fault) => `seed ${seed}: ${fault}`));
  expect(faults).toEqual([]);
});
