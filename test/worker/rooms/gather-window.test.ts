import { describe, expect, it, vi } from "vitest";
import { GatherWindow } from "../../../worker/rooms/gather-window.ts";

const DEADLINE = { timeout: 30_000 };

/** A window whose storage confirms when the test says so. */
function makeWindow() {
  let confirm = Promise.withResolvers<void>();
  const work: Promise<void>[] = [];
  const run = vi.fn();
  const window = new GatherWindow({
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

describe("GatherWindow", () => {
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

  it("is quiet again when nothing has come", async () => {
    const { window, run, confirm, settled } = makeWindow();
    await window.request();
    confirm();
    await settled();
    await vi.waitUntil(() => window.request() === undefined, DEADLINE);
    expect(run).toHaveBeenCalledTimes(2);
  });
});
