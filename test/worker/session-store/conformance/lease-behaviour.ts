import { expect, it } from "vitest";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import { Status } from "../../../../protocol/status-codes.ts";
import type { SessionPolicy } from "../../../../worker/session-store/session-lifetime.ts";
import type { Leases } from "../../../../worker/session-store/session-log.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import type { StoreHarness } from "../store-harness.ts";
import { register } from "./session-requests.ts";

const LEASE_MS = 600_000;
const SECRET_HASH = "A".repeat(43);
const GRANTS = ["room:*"];

/** For whom the responses to writes wait while bridges hold leases. */
export function leaseBehaviour(harnessOf: () => StoreHarness): void {
  /** A store, and the leases of each time that it waited. */
  function openWaiting(policy: Partial<SessionPolicy> = {}) {
    const waits: Leases[] = [];
    const awaitAcknowledgements = async (leases: Leases) => void waits.push(leases);
    return { store: harnessOf().open(policy, { awaitAcknowledgements }), waits };
  }

  const grant = (store: SessionStore, hub: string, ms = LEASE_MS) =>
    store.readLog({ after: null, limit: 1, lease: { hub, ms } });

  /** kim has the session 1, with grants and a token. */
  const before = register(1, { grants: GRANTS, secretHash: SECRET_HASH });

  const waiting: [what: string, requests: SessionRequest[]][] = [
    ["a delete", [{ kind: "delete", sessid: 1 }]],
    ["a delete that finds no session", [{ kind: "delete", sessid: 9 }]],
    ["a delete that is denied", [{ kind: "delete", sessid: 1, user: "lee" }]],
    ["the end of a user's sessions", [{ kind: "deleteUser", user: "kim" }]],
    ["the end of the sessions of a user who has none", [{ kind: "deleteUser", user: "lee" }]],
    ["a refresh that gives other grants", [register(1, { grants: ["shop"] })]],
    ["a refresh that gives the grants that the session has", [register(1, { grants: GRANTS })]],
    ["a refresh that gives a token", [register(1, { secretHash: "B".repeat(43) })]],
    ["a refresh that gives the token that the session has", [register(1, { secretHash: SECRET_HASH })]],
    ["a refresh that moves the expiry to an earlier time", [register(1, { idleMs: 60_000 })]],
    ["several of them, once,", [{ kind: "delete", sessid: 1 }, register(1), { kind: "delete", sessid: 1 }]],
    [
      "one among requests that need not wait",
      [{ kind: "check", sessid: 1 }, { kind: "delete", sessid: 1 }, register(2)],
    ],
  ];
  it.each(waiting)("are awaited by the response to %s", async (_, requests) => {
    const { store, waits } = openWaiting();
    await store.run([before]);
    await grant(store, "hub");
    await store.run(requests);
    expect(waits.map((leases) => [...leases.keys()])).toEqual([["hub"]]);
    const ms = waits[0]?.get("hub") ?? 0;
    expect(ms).toBeLessThanOrEqual(LEASE_MS);
    expect(ms).toBeGreaterThan(LEASE_MS - 60_000);
    expect(Number.isInteger(ms)).toBe(true);
  });

  const unaffected: [what: string, requests: SessionRequest[]][] = [
    [
      "reads",
      [
        { kind: "check", sessid: 1 },
        { kind: "checkAccess", sessid: 1, resource: "shop" },
        { kind: "identify", sessid: 1, secretHash: SECRET_HASH },
        { kind: "get", sessid: 1 },
        { kind: "listUser", user: "kim" },
        { kind: "count" },
      ],
    ],
    ["a register of a new session", [register(2, { grants: GRANTS, secretHash: SECRET_HASH })]],
    ["an issue", [{ kind: "issue", user: "kim", ip: null, grants: GRANTS }]],
    ["a plain refresh", [register(1)]],
    ["a refresh that moves the expiry to a later time", [register(1, { idleMs: 7_200_000 })]],
    ["a register that is refused", [register(1, { user: "lee", grants: ["shop"] })]],
  ];
  it.each(unaffected)("are not awaited by the response to %s", async (_, requests) => {
    const { store, waits } = openWaiting();
    await store.run([before]);
    await grant(store, "hub");
    await store.run(requests);
    expect(waits).toEqual([]);
  });

  it.each([
    ["a register", register(2)],
    ["an issue", { kind: "issue", user: "kim", ip: null } as const],
  ])("are awaited by %s that evicts, and not by one for which there is room", async (_, request) => {
    const { store, waits } = openWaiting({ maxSessionsPerUser: 2, limitPolicy: "evict-oldest" });
    await store.run([before]);
    await grant(store, "hub");
    await store.run([request]);
    expect(waits).toEqual([]);
    await store.run([{ ...request, ...(request.kind === "register" && { sessid: 3 }) }]);
    expect(waits).toHaveLength(1);
  });

  it("are awaited by a register that may repeat one that evicted and whose response was lost", async () => {
    const { store, waits } = openWaiting({ maxSessionsPerUser: 1, limitPolicy: "evict-oldest" });
    await store.run([before]);
    await grant(store, "hub");
    await store.run([register(2)]);
    await store.run([register(2)]);
    expect(waits).toHaveLength(2);
  });

  it("are awaited by the end of all sessions, which more than one step ends, once", async () => {
    const { store, waits } = openWaiting();
    for (let first = 1; first <= 2000; first += 1000) {
      await store.run(Array.from({ length: 1000 }, (_, index) => register(first + index)));
    }
    await grant(store, "hub");
    expect(await store.endAll()).toEqual({ ended: 2000, complete: true });
    expect(waits.map((leases) => [...leases.keys()])).toEqual([["hub"]]);
    await store.endAll();
    expect(waits).toHaveLength(2);
  });

  it("are awaited before the response comes", async () => {
    const acknowledged = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const store = harnessOf().open(
      {},
      {
        awaitAcknowledgements() {
          asked.resolve();
          return acknowledged.promise;
        },
      },
    );
    await store.run([before]);
    await grant(store, "hub");
    const order: string[] = [];
    const answered = store.run([{ kind: "delete", sessid: 1 }]).then(([response]) => {
      order.push("answered");
      return response;
    });
    await asked.promise;
    // The store has ended the session already.
    expect(await store.run([{ kind: "check", sessid: 1 }])).toEqual([{ kind: "check", status: Status.NotFound }]);
    order.push("acknowledged");
    acknowledged.resolve();
    expect(await answered).toEqual({ kind: "delete", status: Status.Ok });
    expect(order).toEqual(["acknowledged", "answered"]);
  });

  it("are outlasted by a store that was told of no way to ask", async () => {
    const store = harnessOf().open();
    await store.run([before]);
    const beganAt = Date.now();
    await grant(store, "hub", 300);
    await store.run([{ kind: "delete", sessid: 1 }]);
    // A clock of whole milliseconds may lose one.
    expect(Date.now() - beganAt).toBeGreaterThanOrEqual(299);
  });

  it("count until they have run out, those of each hub for themselves", async () => {
    const harness = harnessOf();
    const { store, waits } = openWaiting();
    const hubs = async () => {
      await store.run([{ kind: "delete", sessid: 9 }]);
      return [...(waits.pop()?.keys() ?? [])].sort();
    };
    expect(await hubs()).toEqual([]);
    await grant(store, "long", 4 * LEASE_MS);
    await grant(store, "short");
    expect(await hubs()).toEqual(["long", "short"]);
    // Neither a shorter lease nor a read without one takes from those that were granted.
    await grant(store, "long", 1000);
    await store.readLog({ after: null, limit: 1 });
    await harness.advance(LEASE_MS - 60_000);
    expect(await hubs()).toEqual(["long", "short"]);
    await harness.advance(120_000);
    expect(await hubs()).toEqual(["long"]);
    await grant(store, "short");
    expect(await hubs()).toEqual(["long", "short"]);
    await harness.advance(4 * LEASE_MS);
    expect(await hubs()).toEqual([]);
  });

  it("are noted by every read that grants them, also by one that is told of a reset", async () => {
    const { store, waits } = openWaiting();
    const page = await store.readLog({ after: "lost", limit: 1, lease: { hub: "hub", ms: LEASE_MS } });
    expect(page.kind).toBe("reset");
    await store.run([{ kind: "delete", sessid: 9 }]);
    expect(waits).toHaveLength(1);
  });
}
