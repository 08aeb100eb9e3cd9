import { beforeEach, describe, expect, it } from "vitest";
import type { SessionRequest, SessionResponse } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status.ts";
import { GatheringStore } from "../../../worker/session-store/gathering-store.ts";
import type { SessionStore } from "../../../worker/session-store/session-store.ts";

/** A store at some distance: it answers when it is told to. Even sessids live. */
class DistantStore implements SessionStore {
  readonly runs: { readonly requests: readonly SessionRequest[]; answer(): void }[] = [];

  run(requests: readonly SessionRequest[]): Promise<SessionResponse[]> {
    const { promise, resolve } = Promise.withResolvers<SessionResponse[]>();
    this.runs.push({ requests, answer: () => resolve(requests.map(answerTo)) });
    return promise;
  }

  /** The sessids of each run so far. */
  get asked(): number[][] {
    return this.runs.map(({ requests }) => requests.map(sessidOf));
  }

  ping = () => Promise.resolve(true);
  sweep = () => Promise.resolve();
}

let distant: DistantStore;
let store: GatheringStore;
let background: Promise<unknown>[];
beforeEach(() => {
  distant = new DistantStore();
  background = [];
  store = new GatheringStore({ store: distant, background: (work) => background.push(work) });
});

const check = (sessid: number): SessionRequest => ({ kind: "check", sessid });
const ask = (sessids: readonly number[]) => sessids.map((sessid) => store.run([check(sessid)]));
const statusOf = (sessid: number) => (sessid % 2 === 0 ? Status.Ok : Status.NotFound);
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const turn = () => scheduler.wait(0);

describe("readers who ask one by one", () => {
  it("go at once while few do, then share the next run, and each gets its own answer", async () => {
    const answers = ask(numbers(1, 10));
    await turn();
    expect(distant.asked).toEqual([[1], [2], [3], [4]]);
    distant.runs[2]?.answer();
    await turn();
    expect(distant.asked.slice(4)).toEqual([numbers(5, 10)]);
    for (const run of distant.runs) run.answer();
    expect(await Promise.all(answers)).toEqual(numbers(1, 10).map((sessid) => [answerTo(check(sessid))]));
    await Promise.all(background);
    expect(background).toHaveLength(5);
  });

  it("share with at most 99 others", async () => {
    const answers = ask(numbers(1, 204));
    await turn();
    for (let run = 0; run < 7; run++) {
      distant.runs[run]?.answer();
      await turn();
    }
    expect(distant.asked.map(({ length }) => length)).toEqual([1, 1, 1, 1, 100, 100]);
    expect((await Promise.all(answers)).flat()).toEqual(numbers(1, 204).map((sessid) => answerTo(check(sessid))));
  });

  it("wait no longer than the deadline, and whoever comes later does not find their reads", async () => {
    store = new GatheringStore({ store: distant, background: () => undefined, deadlineMs: 50 });
    const first = ask(numbers(1, 4));
    expect(await Promise.all(ask([6, 8]))).toEqual([
      [{ kind: "check", status: Status.Unavailable }],
      [{ kind: "check", status: Status.Unavailable }],
    ]);
    for (const run of distant.runs) run.answer();
    await Promise.all(first);
    expect(distant.asked).toHaveLength(4);
  });

  it("find a place again where requests were torn down in all of them", async () => {
    store = new GatheringStore({ store: distant, background: () => undefined, deadlineMs: 20 });
    ask(numbers(1, 4));
    await scheduler.wait(60);
    const [late] = ask([6]);
    await turn();
    distant.runs.at(-1)?.answer();
    expect(await late).toEqual([{ kind: "check", status: Status.Ok }]);
  });
});

describe("batches and writes", () => {
  it("are passed on as they come, whatever waits", async () => {
    ask(numbers(1, 6));
    const write: SessionRequest = { kind: "delete", sessid: 7 };
    void store.run([write]);
    void store.run([check(8), check(9)]);
    void store.run([]);
    await turn();
    expect(distant.runs.slice(4).map(({ requests }) => requests)).toEqual([[write], [check(8), check(9)], []]);
    for (const run of distant.runs) run.answer();
  });
});

function sessidOf(request: SessionRequest): number {
  return "sessid" in request ? request.sessid : 0;
}

function answerTo(request: SessionRequest): SessionResponse {
  if (request.kind === "check" || request.kind === "delete") {
    return { kind: request.kind, status: statusOf(request.sessid) };
  }
  throw new Error(`nobody asked for a ${request.kind} here`);
}
