import { afterEach, describe, expect, it, vi } from "vitest";
import { TransactionCoalescer } from "../../../worker/rooms/room-runtime.ts";

const DEADLINE = { timeout: 30_000 };

/** A window whose storage confirms when the test says so. */
function makeWindow(sends = 100) {
  let confirm = Promise.withResolvers<void>();
  const work: Promise<void>[] = [];
  const run = vi.fn(() => sends);
  const window = new TransactionCoalescer({
    run,
    confirmed: () => confirm.promise,
    background: (promise) => void work.push(promise),
  });
  return {
    window,
    run,
    confirm() {
      confirm.resolve();
      confirm = Promise.withResolvers();
    },
    settled: () => Promise.all(work),
  };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("TransactionCoalescer", () => {
  it("runs at once in a quiet room", () => {
    const { window, run } = makeWindow();
    expect(window.request()).toBeUndefined();
    expect(run).toHaveBeenCalledTimes(1);
  });

  it("gathers what comes while the last run is not confirmed into one run", async () => {
    const { window, run, confirm } = makeWindow();
    await window.request();
    const processed = Array.from({ length: 10 }, () => window.request());
    expect(run).toHaveBeenCalledTimes(1);
    confirm();
    await Promise.all(processed);
    expect(run).toHaveBeenCalledTimes(2);
  });

  it("does not wait for a storage that is slow to confirm", async () => {
    const { window, run } = makeWindow();
    await window.request();
    await window.request();
    expect(run).toHaveBeenCalledTimes(2);
  });

  it.each([
    { sends: 500, tookMs: 7, waitsMs: 7 },
    { sends: 500, tookMs: 15, waitsMs: 5 },
    { sends: 10, tookMs: 7, waitsMs: 2 },
  ])("waits $waitsMs ms more if $sends sends took $tookMs ms until the storage confirmed", async (row) => {
    const wait = vi.spyOn(scheduler, "wait");
    const clock = vi.spyOn(Date, "now").mockReturnValue(1_000);
    const { window, confirm, settled } = makeWindow(row.sends);
    expect(window.request()).toBeUndefined();
    clock.mockReturnValue(1_000 + row.tookMs);
    confirm();
    await settled();
    expect(wait.mock.calls.map(([ms]) => ms)).toEqual([20, row.waitsMs]);
  });

  it("is quiet again when nothing has come", async () => {
    const { window, run, confirm, settled } = makeWindow();
    await window.request();
    confirm();
    await settled();
    await vi.waitUntil(() => window.request() === undefined, DEADLINE);
    expect(run).toHaveBeenCalledTimes(2);
  });
});
