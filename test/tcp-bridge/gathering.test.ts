import { describe, expect, it } from "vitest";
import { Gathering } from "../../tcp-bridge/edge/gathering.ts";
import type { PacketSource } from "../../tcp-bridge/edge/packet-source.ts";

function source(waiting: number): PacketSource {
  return { waiting, moveInto() {}, expire() {}, answered() {} };
}

/** After answers that took so long each, for so many that the mean is theirs. */
function gatheringAfter(answerMs: number): Gathering {
  const gathering = new Gathering();
  for (let answer = 0; answer < 100; answer++) gathering.took(answerMs);
  return gathering;
}

const [one, other, third] = [source(1), source(1), source(1)];

/** Lets who was answered ask again at once, often enough that it is expected from then on. */
function makeReturn(gathering: Gathering): void {
  for (let round = 0; round < 20; round++) {
    gathering.answered(one, 950);
    gathering.returned(one, 951);
  }
}

describe("what waits for the edge", () => {
  it("leaves at once when nothing is in flight and nobody was just answered", () => {
    expect(gatheringAfter(50).remainingMs([one], 0, 1000)).toBe(0);
  });

  it("gathers while a batch is in flight, 2 ms from the first that waits", () => {
    const gathering = gatheringAfter(50);
    expect(gathering.remainingMs([one], 1, 1000)).toBe(2);
    expect(gathering.remainingMs([one, other], 1, 1001.5)).toBe(0.5);
    expect(gathering.remainingMs([one, other], 1, 1002)).toBe(0);
    gathering.left();
    expect(gathering.remainingMs([one], 1, 1003)).toBe(2);
  });

  it("gathers no longer than the edge takes to answer", () => {
    expect(gatheringAfter(0.5).remainingMs([one], 1, 1000)).toBeCloseTo(0.5);
    expect(new Gathering().remainingMs([one], 1, 1000)).toBe(0);
  });

  it("leaves at once when a request's worth of packets waits, on however many connections", () => {
    const gathering = gatheringAfter(50);
    expect(gathering.remainingMs([source(499)], 1, 1000)).toBe(2);
    expect(gathering.remainingMs([source(500)], 1, 1000)).toBe(0);
    expect(gathering.remainingMs(Array(500).fill(one), 1, 1000)).toBe(0);
  });

  it("leaves when all that were just answered have asked again, or are gone", () => {
    const gathering = gatheringAfter(50);
    makeReturn(gathering);
    for (const answered of [one, other, third]) gathering.answered(answered, 1000);
    expect(gathering.remainingMs([one], 0, 1000.5)).toBe(2);
    gathering.returned(one, 1000.5);
    gathering.returned(other, 1001);
    expect(gathering.remainingMs([one, other], 0, 1001)).toBe(1.5);
    gathering.gone(third);
    expect(gathering.remainingMs([one, other], 0, 1001)).toBe(0);
  });

  it("does not wait for those who were answered a while ago", () => {
    const gathering = gatheringAfter(50);
    makeReturn(gathering);
    gathering.answered(one, 1000);
    expect(gathering.remainingMs([other], 0, 1001.9)).toBe(2);
    expect(gathering.remainingMs([other], 0, 1002)).toBe(0);
  });

  it("waits for those who were just answered only if most ask again in time", () => {
    const gathering = gatheringAfter(50);
    gathering.answered(one, 900);
    expect(gathering.remainingMs([other], 0, 901)).toBe(0);
    makeReturn(gathering);
    for (let round = 0; round < 20; round++) {
      gathering.answered(one, 1000 + 10 * round);
      // Too late to count as a return.
      gathering.returned(one, 1005 + 10 * round);
    }
    gathering.answered(one, 2000);
    expect(gathering.remainingMs([other], 0, 2001)).toBe(0);
  });
});
