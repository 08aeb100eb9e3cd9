import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SessionRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { CoalescingStore } from "../../../worker/session-store/coalescing-store.ts";
import type { SessionStore } from "../../../worker/session-store/session-store.ts";
import { PATIENT_DEADLINE_MS } from "./store-harness.ts";

/** A store that responds when `respond` is called, or at once. Even sessids live. */
class HeldStore implements SessionStore {
  respondsAtOnce = false;
  readonly runs: { readonly requests: readonly SessionRequest[]; respond(): void }[] = [];

  run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    if (this.respondsAtOnce) return Promise.resolve(requests.map(responseTo));
    const { promise, resolve } = Promise.withResolvers<SessionResponse[]>();
    this.runs.push({ requests, respond: () => resolve(requests.map(responseTo)) });
    return promise;
  }

  /** The sessids of every run so far. */
  get asked(): number[][] {
    return this.runs.map(({ requests }) => requests.map(sessidOf));
  }

  readLog = () => Promise.resolve({ kind: "unavailable" } as const);
  endAll = () => Promise.resolve({ ended: 0, complete: true });
  ping = () => Promise.resolve(true);
  sweep = () => Promise.resolve();
}

let held: HeldStore;
let store: CoalescingStore;
let background: Promise<unknown>[];
/** The clock, which stands still, so that the store's latency is what a test says: epoch ms. */
let nowMs = 1_763_700_000_000;
beforeEach(() => {
  vi.spyOn(Date, "now").mockImplementation(() => nowMs);
  held = new HeldStore();
  background = [];
  store = new CoalescingStore({
    store: held,
    background: (work) => background.push(work),
    deadlineMs: PATIENT_DEADLINE_MS,
  });
});

afterEach(() => {
  vi.restoreAllMocks();
});

const check = (sessid: number): SessionRequest => ({ kind: "check", sessid });
const ask = (sessids: readonly number[]) => sessids.map((sessid) => store.run([check(sessid)]));
const statusOf = (sessid: number) => (sessid % 2 === 0 ? Status.Ok : Status.NotFound);
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const turn = () => scheduler.wait(0);

/** Makes the store known as near, so that two runs at once are enough. */
async function bringNear(): Promise<void> {
  held.respondsAtOnce = true;
  for (let run = 0; run < 50; run++) await store.run([check(2)]);
  held.respondsAtOnce = false;
}

describe("CoalescingStore, with single reads,", () => {
  it("runs a few of them at once and the others together in the next run, and gives each its own response", async () => {
    await bringNear();
    const responses = ask(numbers(1, 10));
    await turn();
    expect(held.asked).toEqual([[1], [2]]);
    held.runs[1]?.respond();
    await turn();
    expect(held.asked.slice(2)).toEqual([numbers(3, 10)]);
    for (const run of held.runs) run.respond();
    expect(await Promise.all(responses)).toEqual(numbers(1, 10).map((sessid) => [responseTo(check(sessid))]));
  });

  it("keeps each alive from the start, so that no slot is handed to a client that has gone", async () => {
    await bringNear();
    background = [];
    const responses = ask(numbers(1, 10));
    await turn();
    expect(background).toHaveLength(10);
    for (const run of held.runs) run.respond();
    await turn();
    for (const run of held.runs) run.respond();
    expect(await Promise.all(background.slice(0, 10))).toEqual(await Promise.all(responses));
  });

  it("has more runs at once while the store is far, as it is taken to be at first", async () => {
    const responses = ask(numbers(1, 20));
    await turn();
    expect(held.asked).toEqual(numbers(1, 16).map((sessid) => [sessid]));
    for (const run of held.runs) run.respond();
    await turn();
    const later = held.asked.slice(16);
    expect(later.flat().toSorted()).toEqual(numbers(17, 20));
    expect(later.length).toBeLessThan(4);
    for (const run of held.runs) run.respond();
    await Promise.all(responses);
  });

  it("puts at most 100 of them into one run", async () => {
    await bringNear();
    const responses = ask(numbers(1, 202));
    await turn();
    for (let run = 0; run < 4; run++) {
      held.runs[run]?.respond();
      await turn();
    }
    expect(held.asked.map(({ length }) => length)).toEqual([1, 1, 100, 100]);
    expect((await Promise.all(responses)).flat()).toEqual(numbers(1, 202).map((sessid) => responseTo(check(sessid))));
  });

  it("answers Unavailable to a read that has waited for the deadline, and never runs it later", async () => {
    store = new CoalescingStore({ store: held, background: () => undefined, deadlineMs: 50 });
    const first = ask(numbers(1, 16));
    expect(await Promise.all(ask([18, 20]))).toEqual([
      [{ kind: "check", status: Status.Unavailable }],
      [{ kind: "check", status: Status.Unavailable }],
    ]);
    for (const run of held.runs) run.respond();
    await Promise.all(first);
    expect(held.asked).toHaveLength(16);
  });

  it("frees the slots of requests that the runtime has aborted", async () => {
    store = new CoalescingStore({ store: held, background: () => undefined, deadlineMs: 20 });
    ask(numbers(1, 16));
    nowMs += 60;
    const [late] = ask([18]);
    await turn();
    held.runs.at(-1)?.respond();
    expect(await late).toEqual([{ kind: "check", status: Status.Ok }]);
  });
});

describe("CoalescingStore, with batches and writes,", () => {
  it("passes on what comes from a bridge, a single read too, with its options", async () => {
    ask(numbers(1, 20));
    const passedOn = vi.spyOn(held, "run");
    void store.run([check(7)], { forBridge: true });
    expect(passedOn.mock.calls).toEqual([[[check(7)], { forBridge: true }]]);
  });

  it("passes them on as they come, whatever waits", async () => {
    ask(numbers(1, 20));
    const write: SessionRequest = { kind: "delete", sessid: 7 };
    void store.run([write]);
    void store.run([check(8), check(9)]);
    void store.run([]);
    await turn();
    expect(held.runs.slice(16).map(({ requests }) => requests)).toEqual([[write], [check(8), check(9)], []]);
    for (const run of held.runs) run.respond();
  });
});

function sessidOf(request: SessionRequest): number {
  return "sessid" in request ? request.sessid : 0;
}

function responseTo(request: SessionRequest): SessionResponse {
  if (request.kind === "check" || request.kind === "delete") {
    return { kind: request.kind, status: statusOf(request.sessid) };
  }
  throw new Error(`unexpected request: ${request.kind}`);
}
