import { describe, expect, it } from "vitest";
import type { PacketSource } from "../../../tcp-bridge/edge/batch.ts";
import { BatchCoalescer } from "../../../tcp-bridge/edge/batch-dispatcher.ts";

function source(waiting: number): PacketSource {
  return { waiting, lane: 0, moveInto() {}, expire() {}, receiveResponses() {} };
}

/** A coalescer that has measured this latency so often that it is the mean. */
function coalescerWith(latencyMs: number): BatchCoalescer {
  const coalescer = new BatchCoalescer();
  for (let sample = 0; sample < 100; sample++) coalescer.recordLatency(latencyMs);
  return coalescer;
}

const [one, other, third] = [source(1), source(1), source(1)];

/** Lets a source send a new request after each response, so often that it is expected from then on. */
function expectRequests(coalescer: BatchCoalescer): void {
  for (let round = 0; round < 20; round++) {
    coalescer.responded(one, 950);
    coalescer.requested(one, 951);
  }
}

describe("BatchCoalescer", () => {
  it("sends a packet at once when nothing is in flight and no source just got a response", () => {
    expect(coalescerWith(50).remainingWaitMs([one], 0, 1000)).toBe(0);
  });

  it("waits while a batch is in flight, up to 2 ms from the first waiting packet", () => {
    const coalescer = coalescerWith(50);
    expect(coalescer.remainingWaitMs([one], 1, 1000)).toBe(2);
    expect(coalescer.remainingWaitMs([one, other], 1, 1001.5)).toBe(0.5);
    expect(coalescer.remainingWaitMs([one, other], 1, 1002)).toBe(0);
    coalescer.flushed();
    expect(coalescer.remainingWaitMs([one], 1, 1003)).toBe(2);
  });

  it("waits no longer than the mean latency of the edge", () => {
    expect(coalescerWith(0.5).remainingWaitMs([one], 1, 1000)).toBeCloseTo(0.5);
    expect(new BatchCoalescer().remainingWaitMs([one], 1, 1000)).toBe(0);
  });

  it("sends at once when half a batch of packets waits, on any number of connections", () => {
    const coalescer = coalescerWith(50);
    expect(coalescer.remainingWaitMs([source(499)], 1, 1000)).toBe(2);
    expect(coalescer.remainingWaitMs([source(500)], 1, 1000)).toBe(0);
    expect(coalescer.remainingWaitMs(Array(500).fill(one), 1, 1000)).toBe(0);
  });

  it("sends when all sources that just got responses have new requests or are gone", () => {
    const coalescer = coalescerWith(50);
    expectRequests(coalescer);
    for (const source of [one, other, third]) coalescer.responded(source, 1000);
    expect(coalescer.remainingWaitMs([one], 0, 1000.5)).toBe(2);
    coalescer.requested(one, 1000.5);
    coalescer.requested(other, 1001);
    expect(coalescer.remainingWaitMs([one, other], 0, 1001)).toBe(1.5);
    coalescer.removed(third);
    expect(coalescer.remainingWaitMs([one, other], 0, 1001)).toBe(0);
  });

  it("does not wait for sources that got their responses a while ago", () => {
    const coalescer = coalescerWith(50);
    expectRequests(coalescer);
    coalescer.responded(one, 1000);
    expect(coalescer.remainingWaitMs([other], 0, 1001.9)).toBe(2);
    expect(coalescer.remainingWaitMs([other], 0, 1002)).toBe(0);
  });

  it("waits for sources that just got responses only if most send new requests in time", () => {
    const coalescer = coalescerWith(50);
    coalescer.responded(one, 900);
    expect(coalescer.remainingWaitMs([other], 0, 901)).toBe(0);
    expectRequests(coalescer);
    for (let round = 0; round < 20; round++) {
      coalescer.responded(one, 1000 + 10 * round);
      // Too late to count.
      coalescer.requested(one, 1005 + 10 * round);
    }
    coalescer.responded(one, 2000);
    expect(coalescer.remainingWaitMs([other], 0, 2001)).toBe(0);
  });
});
