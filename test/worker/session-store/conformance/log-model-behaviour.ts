import fc from "fast-check";
import { expect, it } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import type { SessionEvent } from "../../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import { sessionBatches } from "../../../support/histories/session-arbitraries.ts";
import { type ModelEvent, SessionLogModel } from "../../../support/histories/session-log-model.ts";
import type { StoreHarness } from "../store-harness.ts";
import { LogReader } from "./log-reader.ts";

/**
 * The clock moves after each batch, so that its sessions are older than those of the next. No sum of the longer moves is the
 * difference between two idle times of the batches, half an hour and two hours.
 */
const advances = fc.constantFrom(1, 1, 700_000, 2_100_000);

/** What a store runs at one moment, whatever its clock does: a request, or neighbouring registers. */
function momentsOf(batch: readonly SessionRequest[]): SessionRequest[][] {
  const moments: SessionRequest[][] = [];
  for (const request of batch) {
    const last = moments.at(-1);
    if (request.kind === "register" && last?.[0]?.kind === "register") last.push(request);
    else moments.push([request]);
  }
  return moments;
}

/** Batches, how far the clock moves after each, and whether the log is read then. */
function runsOf(batches: fc.Arbitrary<SessionRequest[][]>) {
  return batches.chain((some) =>
    fc.tuple(...some.map((batch) => fc.tuple(fc.constant(batch), advances, fc.boolean()))),
  );
}

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
    // Which session of a user is the oldest is clear only between moments.
    const evicts = limit.limitPolicy === "evict-oldest";
    const batches = evicts ? sessionBatches.map((some) => some.flatMap(momentsOf)) : sessionBatches;
    const property = fc.asyncProperty(runsOf(batches), async (sequence) => {
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
    await fc.assert(property, { numRuns: evicts ? 15 : 30 });
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
