import fc from "fast-check";
import { expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import type { SessionEvent } from "../../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import { sessionBatches } from "../../../support/histories/session-arbitraries.ts";
import { type ModelEvent, SessionLogModel } from "../../../support/histories/session-log-model.ts";
import type { StoreHarness } from "../store-harness.ts";
import { LogReader } from "./log-reader.ts";

/** No sum of them is the difference between two idle times of the batches, half an hour and two hours. */
const advances = fc.constantFrom(0, 0, 700_000, 2_100_000);

const runs = sessionBatches.chain((batches) =>
  fc.tuple(...batches.map((batch) => fc.tuple(fc.constant(batch), advances, fc.boolean()))),
);

/** Random batches are logged as the model says, also where sessions expire between them. */
export function logModelBehaviour(harnessOf: () => StoreHarness): void {
  const policies = [
    { maxSessionsPerUser: 3, limitPolicy: "reject" },
    { maxSessionsPerUser: 2, limitPolicy: "evict-oldest" },
  ] as const;

  it.each(policies)("began - ended = live after every batch, with %o", async (limit) => {
    const harness = harnessOf();
    const policy = { idleMs: harness.idleMs, maxMs: 10_000_000, ...limit };
    const store = harness.open(policy);
    const property = fc.asyncProperty(runs, async (sequence) => {
      await harness.clear();
      const model = new SessionLogModel(policy);
      const reader = await LogReader.open(store, 4);
      const live = new Map<number, string | null>();
      const expected: [number, ModelEvent[]][] = [];
      const events: SessionEvent[] = [];
      for (const [batch, advanceMs, reads] of sequence) {
        const responses = await store.run(batch);
        const issued = responses.map((response) =>
          response.kind === "issue" && response.status === Status.Ok ? response.sessid : null,
        );
        model.run(batch, issued);
        await harness.settle();
        await harness.advance(advanceMs);
        model.advance(advanceMs);
        // A reader that comes later is told the same.
        if (!reads) continue;
        expected.push(...model.take());
        events.push(...(await reader.read()));
        expect(bySessid(expected)).toEqual(bySessid(events.map((event) => [event.sessid, [seen(event)]])));
        for (const event of events.splice(0)) follow(live, event);
        expected.length = 0;
        expect([...live].sort()).toEqual([...model.live.values()].map(({ sessid, user }) => [sessid, user]).sort());
        expect(await liveAmong(store, [...live.keys()])).toEqual([...live.keys()]);
      }
    });
    await fc.assert(property, { numRuns: 60 });
  });
}

/** Takes an event to the sessions that live by the log; throws where it cannot follow on what came before. */
function follow(live: Map<number, string | null>, { kind, sessid, user }: SessionEvent): void {
  if (live.has(sessid) === (kind === "began")) throw new Error(`${sessid} ${kind} twice`);
  if (kind !== "began" && live.get(sessid) !== user) throw new Error(`${sessid} ${kind} as another user's`);
  if (kind === "ended") live.delete(sessid);
  else live.set(sessid, user);
}

const seen = ({ kind, reason, user }: SessionEvent): ModelEvent => ({ kind, reason, user });

function bySessid(events: readonly (readonly [number, readonly ModelEvent[]])[]): Map<number, ModelEvent[]> {
  const sorted = new Map<number, ModelEvent[]>();
  for (const [sessid, own] of events) sorted.set(sessid, [...(sorted.get(sessid) ?? []), ...own]);
  return sorted;
}

/** The sessids among these that the store finds live; a get moves no expiry. */
async function liveAmong(store: SessionStore, sessids: readonly number[]): Promise<number[]> {
  const responses = await store.run(sessids.map((sessid) => ({ kind: "get", sessid })));
  return sessids.filter((_, index) => responses[index]?.status === Status.Ok);
}
