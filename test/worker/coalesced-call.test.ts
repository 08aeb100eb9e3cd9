import { afterEach, describe, expect, it, vi } from "vitest";
import { CoalescedCall } from "../../worker/coalesced-call.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Counts how often any promise that is made from now on is resolved by hand. */
function countResolves(): { count: number } {
  const resolves = { count: 0 };
  vi.spyOn(Promise, "withResolvers").mockImplementation(<T>() => {
    let resolve: (value: T | PromiseLike<T>) => void = () => undefined;
    const promise = new Promise<T>((settle) => {
      resolve = settle;
    });
    const counted = (value: T | PromiseLike<T>) => {
      resolves.count += 1;
      resolve(value);
    };
    return { promise, resolve: counted, reject: () => undefined };
  });
  return resolves;
}

describe("a coalesced call", () => {
  it("resolves no promise of a request that waits no longer, of which the runtime would warn", async () => {
    let answer: (result: string) => void = () => undefined;
    const called = new Promise<string>((resolve) => {
      answer = resolve;
    });
    const call = new CoalescedCall({ call: () => called, deadlineMs: 60_000, background: () => undefined });
    const resolves = countResolves();
    const waits = call.ask();
    const follows = [call.ask(Promise.resolve()), call.ask(Promise.resolve())];
    expect(await Promise.all(follows)).toEqual([undefined, undefined]);
    const before = resolves.count;
    answer("done");
    expect(await waits).toBe("done");
    await scheduler.wait(0);
    // The one that still waits, and the call that follows it.
    expect(resolves.count - before).toBe(2);
  });
});
