import { afterEach, describe, expect, it, vi } from "vitest";
import { TransactionCoalescer } from "../../../worker/rooms/room-runtime.ts";

const DEADLINE = { timeout: 30_000 };

/** A coalescer whose storage commits when the test says so. */
function makeCoalescer(sends = 100) {
  let commit = Promise.withResolvers<void>();
  const work: Promise<void>[] = [];
  const run = vi.fn(() => sends);
  const coalescer = new TransactionCoalescer({
    run,
    committed: () => commit.promise,
    background: (promise) => void work.push(promise),
  });
  return {
    coalescer,
    run,
    commit() {
      commit.resolve();
      commit = Promise.withResolvers();
    },
    settled: () => Promise.all(work),
  };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("TransactionCoalescer", () => {
  it("processes the inbox at once in a quiet room", () => {
    const { coalescer, run } = makeCoalescer();
    expect(coalescer.request()).toBeUndefined();
    expect(run).toHaveBeenCalledTimes(1);
  });

  it("processes what arrives before the last transaction has committed in one transaction", async () => {
    const { coalescer, run, commit } = makeCoalescer();
    await coalescer.request();
    const processed = Array.from({ length: 10 }, () => coalescer.request());
    expect(run).toHaveBeenCalledTimes(1);
    commit();
    await Promise.all(processed);
    expect(run).toHaveBeenCalledTimes(2);
  });

  it("does not wait longer than 20 ms for a storage that is slow to commit", async () => {
    const { coalescer, run } = makeCoalescer();
    await coalescer.request();
    await coalescer.request();
    expect(run).toHaveBeenCalledTimes(2);
  });

  it.each([
    { sends: 500, tookMs: 7, waitsMs: 7 },
    { sends: 500, tookMs: 15, waitsMs: 5 },
    { sends: 10, tookMs: 7, waitsMs: 2 },
  ])("waits $waitsMs ms more if $sends sends took $tookMs ms until the storage committed", async (row) => {
    const wait = vi.spyOn(scheduler, "wait");
    const clock = vi.spyOn(Date, "now").mockReturnValue(1_000);
    const { coalescer, commit, settled } = makeCoalescer(row.sends);
    expect(coalescer.request()).toBeUndefined();
    clock.mockReturnValue(1_000 + row.tookMs);
    commit();
    await settled();
    expect(wait.mock.calls.map(([ms]) => ms)).toEqual([20, row.waitsMs]);
  });

  it("processes the inbox at once again after a wait in which nothing arrived", async () => {
    const { coalescer, run, commit, settled } = makeCoalescer();
    await coalescer.request();
    commit();
    await settled();
    await vi.waitUntil(() => coalescer.request() === undefined, DEADLINE);
    expect(run).toHaveBeenCalledTimes(2);
  });
});
