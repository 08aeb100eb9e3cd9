import { describe, expect, it } from "vitest";
import type { PacketSource } from "../../../tcp-bridge/edge/batch.ts";
import { BatchCoalescer } from "../../../tcp-bridge/edge/batch-dispatcher.ts";

function source(waiting: number): PacketSource {
  return { waiting, moveInto() {}, expire() {}, receiveResponses() {} };
}

/** After answers that took so long each, for so many that the mean is theirs. */
function gatheringAfter(answerMs: number): BatchCoalescer {
  const gathering = new BatchCoalescer();
  for (let answer = 0; answer < 100; answer++) gathering.recordLatency(answerMs);
  return gathering;
}

const [one, other, third] = [source(1), source(1), source(1)];

/** Lets who was answered ask again at once, often enough that it is expected from then on. */
function makeReturn(gathering: BatchCoalescer): void {
  for (let round = 0; round < 20; round++) {
    gathering.responded(one, 950);
    gathering.requested(one, 951);
  }
}

describe("what waits for the edge", () => {
  it("leaves at once when nothing is in flight and nobody was just answered", () => {
    expect(gatheringAfter(50).remainingWaitMs([one], 0, 1000)).toBe(0);
  });

  it("gathers while a batch is in flight, 2 ms from the first that waits", () => {
    const gathering = gatheringAfter(50);
    expect(gathering.remainingWaitMs([one], 1, 1000)).toBe(2);
    expect(gathering.remainingWaitMs([one, other], 1, 1001.5)).toBe(0.5);
    expect(gathering.remainingWaitMs([one, other], 1, 1002)).toBe(0);
    gathering.flushed();
    expect(gathering.remainingWaitMs([one], 1, 1003)).toBe(2);
  });

  it("gathers no longer than the edge takes to answer", () => {
    expect(gatheringAfter(0.5).remainingWaitMs([one], 1, 1000)).toBeCloseTo(0.5);
    expect(new BatchCoalescer().remainingWaitMs([one], 1, 1000)).toBe(0);
  });

  it("leaves at once when a request's worth of packets waits, on however many connections", () => {
    const gathering = gatheringAfter(50);
    expect(gathering.remainingWaitMs([source(499)], 1, 1000)).toBe(2);
    expect(gathering.remainingWaitMs([source(500)], 1, 1000)).toBe(0);
    expect(gathering.remainingWaitMs(Array(500).fill(one), 1, 1000)).toBe(0);
  });

  it("leaves when all that were just answered have asked again, or are gone", () => {
    const gathering = gatheringAfter(50);
    makeReturn(gathering);
    for (const answered of [one, other, third]) gathering.responded(answered, 1000);
    expect(gathering.remainingWaitMs([one], 0, 1000.5)).toBe(2);
    gathering.requested(one, 1000.5);
    gathering.requested(other, 1001);
    expect(gathering.remainingWaitMs([one, other], 0, 1001)).toBe(1.5);
    gathering.removed(third);
    expect(gathering.remainingWaitMs([one, other], 0, 1001)).toBe(0);
  });

  it("does not wait for those who were answered a while ago", () => {
    const gathering = gatheringAfter(50);
    makeReturn(gathering);
    gathering.responded(one, 1000);
    expect(gathering.remainingWaitMs([other], 0, 1001.9)).toBe(2);
    expect(gathering.remainingWaitMs([other], 0, 1002)).toBe(0);
  });

  it("waits for those who were just answered only if most ask again in time", () => {
    const gathering = gatheringAfter(50);
    gathering.responded(one, 900);
    expect(gathering.remainingWaitMs([other], 0, 901)).toBe(0);
    makeReturn(gathering);
    for (let round = 0; round < 20; round++) {
      gathering.responded(one, 1000 + 10 * round);
      // Too late to count as a return.
      gathering.requested(one, 1005 + 10 * round);
    }
    gathering.responded(one, 2000);
    expect(gathering.remainingWaitMs([other], 0, 2001)).toBe(0);
  });
});
