import { expect, it } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import type { SessionPolicy } from "../../../../worker/session-store/session-lifetime.ts";
import { type Leases, WATCHERS } from "../../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { register } from "./session-requests.ts";

const WATCH_MS = 600_000;

/** Which writes know that somebody watches, and for how long. */
export function watchBehaviour(harnessOf: () => StoreHarness): void {
  /** A store, and the leases of each time that it had somebody told. */
  function openTelling(policy: Partial<SessionPolicy> = {}) {
    const told: Leases[] = [];
    const awaitAcknowledgements = async (leases: Leases) => void told.push(leases);
    return { store: harnessOf().open(policy, { awaitAcknowledgements }), told };
  }

  const watch = (store: SessionStore, watchMs = WATCH_MS) => store.readLog({ after: null, limit: 1, watchMs });
  const namesOf = (told: readonly Leases[]) => told.map((leases) => [...leases.keys()]);

  const telling: [what: string, request: SessionRequest][] = [
    ["a delete", { kind: "delete", sessid: 1 }],
    ["the end of a user's sessions", { kind: "deleteUser", user: "kim" }],
    ["a refresh that gives other grants", register(1, { grants: ["shop"] })],
    ["a refresh that gives a token", register(1, { secretHash: "B".repeat(43) })],
  ];
  it.each(telling)("is known to %s", async (_, request) => {
    const { store, told } = openTelling();
    await store.run([register(1)]);
    await watch(store);
    await store.run([request]);
    expect(namesOf(told)).toEqual([[WATCHERS]]);
    const ms = told[0]?.get(WATCHERS) ?? 0;
    expect(ms).toBeLessThanOrEqual(WATCH_MS);
    expect(ms).toBeGreaterThan(WATCH_MS - 60_000);
  });

  it("is known to a register that evicts a session, and to the end of all sessions", async () => {
    const { store, told } = openTelling({ maxSessionsPerUser: 1, limitPolicy: "evict-oldest" });
    await store.run([register(1)]);
    await watch(store);
    await store.run([register(2)]);
    await store.endAll();
    expect(namesOf(told)).toEqual([[WATCHERS], [WATCHERS]]);
  });

  it("is known beside the leases of hubs", async () => {
    const { store, told } = openTelling();
    await store.readLog({ after: null, limit: 1, watchMs: WATCH_MS, lease: { hub: "hub", ms: WATCH_MS } });
    await store.run([{ kind: "delete", sessid: 9 }]);
    expect(told.map((leases) => [...leases.keys()].sort())).toEqual([["hub", WATCHERS]]);
  });

  it("is not told of reads, beginnings and plain refreshes", async () => {
    const { store, told } = openTelling();
    await watch(store);
    await store.run([register(1), { kind: "issue", user: "kim", ip: null }]);
    await store.run([register(1), { kind: "check", sessid: 1 }, { kind: "count" }]);
    expect(told).toEqual([]);
  });

  it("is known to nobody unless a reader says so", async () => {
    const { store, told } = openTelling();
    await store.run([register(1)]);
    await store.readLog({ after: null, limit: 1 });
    await store.run([{ kind: "delete", sessid: 1 }]);
    expect(told).toEqual([]);
  });

  it("is known for as long as the longest watch runs, and is noted by a read that is told of a reset too", async () => {
    const harness = harnessOf();
    const { store, told } = openTelling();
    const isKnown = async () => {
      await store.run([{ kind: "delete", sessid: 9 }]);
      return told.splice(0).length > 0;
    };
    expect((await store.readLog({ after: "lost", limit: 1, watchMs: WATCH_MS })).kind).toBe("reset");
    await watch(store, 1000);
    await harness.advance(WATCH_MS - 60_000);
    expect(await isKnown()).toBe(true);
    await harness.advance(60_000);
    expect(await isKnown()).toBe(false);
    await watch(store);
    expect(await isKnown()).toBe(true);
  });

  it("is told of a sweep that has written ends, without the leases of hubs, and of no other", async () => {
    const harness = harnessOf();
    const { store, told } = openTelling();
    await store.run([register(1, { idleMs: 60_000 })]);
    await store.readLog({ after: null, limit: 1, watchMs: WATCH_MS, lease: { hub: "hub", ms: WATCH_MS } });
    await store.sweep();
    expect(told).toEqual([]);
    await harness.advance(120_000);
    await store.sweep();
    expect(namesOf(told)).toEqual([[WATCHERS]]);
    await store.sweep();
    expect(told).toHaveLength(1);
  });

  it("delays no write of a store that was told of no way to tell", async () => {
    const store = harnessOf().open();
    await watch(store);
    const beganAt = Date.now();
    await store.run([{ kind: "delete", sessid: 9 }]);
    expect(Date.now() - beganAt).toBeLessThan(WATCH_MS / 10);
  });
}
