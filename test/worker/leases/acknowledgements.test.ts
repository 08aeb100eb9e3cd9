import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Acknowledgements } from "../../../worker/leases/acknowledgements.ts";
import { WATCHERS } from "../../../worker/session-store/session-log.ts";

const BOUND_MS = 1000;
const OWN = "this worker's hub";
const OTHER = "another hub";

/** A call of the hub that has not been answered yet. */
interface HeldCall {
  answer(name: string): void;
  fail(): void;
}

let calls: HeldCall[];
let background: Promise<unknown>[];
let acknowledgements: Acknowledgements;

beforeEach(() => {
  vi.useFakeTimers();
  calls = [];
  background = [];
  acknowledgements = open(() => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    calls.push({ answer: resolve, fail: () => reject(new Error("the hub was reset")) });
    return promise;
  });
});

afterEach(() => {
  vi.useRealTimers();
});

function open(acknowledged: () => Promise<string>): Acknowledgements {
  return new Acknowledgements({
    hub: () => ({ acknowledged }),
    boundMs: BOUND_MS,
    background: (work) => background.push(work),
  });
}

/** A write that waits: whether it has been answered. */
function write(leases: Readonly<Record<string, number>> = { [OWN]: BOUND_MS }): { readonly answered: boolean } {
  const state = { answered: false };
  void acknowledgements.wait(new Map(Object.entries(leases))).then(() => {
    state.answered = true;
  });
  return state;
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("a write that waits for bridges", () => {
  it("is answered as soon as this worker's hub says that its bridges have acknowledged", async () => {
    const waiting = write();
    await pass(BOUND_MS - 1);
    expect(waiting.answered).toBe(false);
    calls[0]?.answer(OWN);
    await pass(0);
    expect(waiting.answered).toBe(true);
  });

  it("waits for the leases of another hub until they have run out, whatever this worker's says", async () => {
    const waiting = write({ [OWN]: 900, [OTHER]: 300 });
    calls[0]?.answer(OWN);
    await pass(299);
    expect(waiting.answered).toBe(false);
    await pass(1);
    expect(waiting.answered).toBe(true);
  });

  it("waits for the leases of this worker's hub from before its restart until they have run out", async () => {
    const waiting = write({ "the hub before": 700 });
    calls[0]?.answer(OWN);
    await pass(699);
    expect(waiting.answered).toBe(false);
    await pass(1);
    expect(waiting.answered).toBe(true);
  });

  it.each<readonly [string, () => Promise<string>]>([
    ["never answers", () => new Promise(() => {})],
    ["rejects", () => Promise.reject(new Error("overloaded"))],
    [
      "throws",
      () => {
        throw new Error("the stub is broken");
      },
    ],
  ])("waits until the leases have run out, and no longer, while the hub %s", async (_, acknowledged) => {
    acknowledgements = open(acknowledged);
    const [short, long] = [write({ [OWN]: 400 }), write({ [OWN]: 800 })];
    await pass(399);
    expect([short.answered, long.answered]).toEqual([false, false]);
    await pass(1);
    expect([short.answered, long.answered]).toEqual([true, false]);
    await pass(400);
    expect(long.answered).toBe(true);
  });

  it("does not wait for those who watch, and asks no hub for them", async () => {
    const watched = write({ [WATCHERS]: 60_000 });
    await pass(0);
    expect(watched.answered).toBe(true);
    expect([calls.length, vi.getTimerCount()]).toEqual([0, 0]);
    const both = write({ [WATCHERS]: 60_000, [OTHER]: 300 });
    await pass(300);
    expect(both.answered).toBe(true);
  });

  it("leaves no timer behind", async () => {
    const waiting = write({ [OWN]: 900, [OTHER]: 300 });
    calls[0]?.answer(OWN);
    await pass(300);
    expect(waiting.answered).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("many writes that wait at once", () => {
  it("share one call in flight and one that follows, which begins after they have come", async () => {
    const first = write();
    await pass(0);
    const others = Array.from({ length: 100 }, () => write());
    await pass(0);
    expect(calls.length).toBe(1);
    calls[0]?.answer(OWN);
    await pass(0);
    expect(first.answered).toBe(true);
    expect(others.filter(({ answered }) => answered)).toEqual([]);
    expect(calls.length).toBe(2);
    calls[1]?.answer(OWN);
    await pass(0);
    expect(others.filter(({ answered }) => !answered)).toEqual([]);
    expect(calls.length).toBe(2);
  });

  it("are asked for again after a call that failed", async () => {
    write();
    await pass(0);
    const later = write();
    calls[0]?.fail();
    await pass(0);
    calls[1]?.answer(OWN);
    await pass(0);
    expect(later.answered).toBe(true);
  });

  it("are asked for again after a call that is not answered within the bound", async () => {
    write();
    await pass(BOUND_MS / 2);
    write();
    await pass(BOUND_MS / 2);
    const later = write();
    await pass(0);
    for (const call of [1, 2]) {
      calls[call]?.answer(OWN);
      await pass(0);
    }
    expect(later.answered).toBe(true);
  });

  it("keep the call alive for each other when the client of the first has gone", async () => {
    write();
    write();
    await pass(0);
    expect(background.length).toBe(2);
    calls[0]?.answer(OWN);
    await pass(0);
    calls[1]?.answer(OWN);
    await Promise.all(background);
  });

  it("do not wait for ever for a call whose request the runtime has aborted", async () => {
    write();
    await pass(0);
    // The request that was to make the second call is gone, with its timers: nothing of it runs any more.
    write();
    vi.clearAllTimers();
    await pass(2 * BOUND_MS);
    const later = write();
    await pass(0);
    expect(calls.length).toBe(2);
    calls[1]?.answer(OWN);
    await pass(0);
    expect(later.answered).toBe(true);
  });
});
