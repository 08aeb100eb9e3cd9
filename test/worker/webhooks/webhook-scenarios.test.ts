import { describe, expect, it } from "vitest";
import type { HeldMessage, OutboxState } from "../../../worker/webhooks/webhook-outbox.ts";
import { runOutboxScenario } from "../../support/webhooks/outbox-scenario.ts";
import { MemoryOutboxStorage } from "../../support/webhooks/outbox-stage.ts";

const SEEDS = Array.from({ length: 30 }, (_, index) => index + 1);

/** A broken storage must be found in so many scenarios. */
const SEEDS_TO_FIND = 60;

class ForgetfulStorage extends MemoryOutboxStorage {
  override loadHeld(): readonly HeldMessage[] {
    return [];
  }
}

class ReversingStorage extends MemoryOutboxStorage {
  override loadHeld(): readonly HeldMessage[] {
    return [...super.loadHeld()].reverse();
  }
}

class ScheduleLosingStorage extends MemoryOutboxStorage {
  override hold(message: HeldMessage): void {
    super.hold({ ...message, tries: 9 });
  }
}

/** Its cursor is at the newest message that is held, though earlier ones are under way. */
class HastyStorage extends MemoryOutboxStorage {
  override load(): OutboxState | undefined {
    const newest = [...this.held.keys()].at(-1);
    return this.state && { ...this.state, cursor: newest ?? this.state.cursor };
  }
}

describe("webhooks in trouble", () => {
  it("each end is delivered, given up after its schedule, or told as lost; each session's in order", () => {
    const reports = SEEDS.map((seed) => ({ seed, ...runOutboxScenario(seed) }));
    expect(reports.flatMap(({ seed, faults }) => faults.map((fault) => `seed ${seed}: ${fault}`))).toEqual([]);
    // All this must happen in the scenarios, or they would prove nothing about it.
    const sum = (key: "retries" | "restarts" | "givenUp" | "losses") =>
      reports.reduce((total, report) => total + report[key], 0);
    expect(Math.min(sum("retries"), sum("restarts"))).toBeGreaterThan(SEEDS.length);
    expect(Math.min(sum("givenUp"), sum("losses"))).toBeGreaterThan(0);
    expect(Math.max(...reports.map(({ mostHeld }) => mostHeld))).toBe(100);
  });

  it.each([
    ["forgets what is held", ForgetfulStorage, /never came/],
    ["loses the order of what is held", ReversingStorage, /came after/],
    ["loses how often a message was tried", ScheduleLosingStorage, /was given up after \d tries/],
    ["has a cursor that runs ahead", HastyStorage, /never came/],
  ])("the scenarios find a storage that %s", (_, Storage, fault) => {
    const found = Array.from({ length: SEEDS_TO_FIND }, (__, index) => index + 1).some((seed) =>
      runOutboxScenario(seed, new Storage()).faults.some((text) => fault.test(text)),
    );
    expect(found).toBe(true);
  });
});
