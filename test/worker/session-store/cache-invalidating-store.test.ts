import { describe, expect, it } from "vitest";
import type { SessionRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { CacheInvalidatingStore, SessionCache } from "../../../worker/session-store/session-cache.ts";
import type { SessionPolicy } from "../../../worker/session-store/session-lifetime.ts";
import { createEmbeddedHarness } from "./embedded/embedded-harness.ts";

const SECRET = new Uint8Array(16).fill(1);
const NOW = 1_763_700_000_000;

/** A store with the sessions 1 and 2 of kim and 3 of lee, all of them cached. */
async function storeWithCache(policy: Partial<SessionPolicy> = {}) {
  const cache = new SessionCache();
  const harness = createEmbeddedHarness();
  await harness.clear();
  const inner = harness.open(policy);
  const store = new CacheInvalidatingStore(inner, cache, policy.limitPolicy === "evict-oldest");
  for (const [sessid, user] of [
    [1, "kim"],
    [2, "kim"],
    [3, "lee"],
  ] as const) {
    await inner.run([{ kind: "register", sessid, user, ip: null, secretHash: "a".repeat(43) }]);
    const times = { createdAt: NOW, expiresAt: NOW + 1_800_000 };
    cache.put(cache.begin(sessid, NOW), { sessid, user, ip: null, grants: ["*"], ...times }, SECRET);
  }
  const cached = () => [1, 2, 3].filter((sessid) => cache.get(sessid, SECRET, 5000, NOW) !== undefined);
  return { store, cache, cached };
}

describe("CacheInvalidatingStore", () => {
  const runs: [what: string, requests: SessionRequest[], cached: number[]][] = [
    [
      "reads",
      [
        { kind: "check", sessid: 1 },
        { kind: "get", sessid: 2 },
        { kind: "listUser", user: "kim" },
      ],
      [1, 2, 3],
    ],
    ["deletes one", [{ kind: "delete", sessid: 1 }], [2, 3]],
    ["may not delete one", [{ kind: "delete", sessid: 1, user: "lee" }], [2, 3]],
    ["refreshes one", [{ kind: "register", sessid: 2, user: "kim", ip: null, grants: [] }], [1, 3]],
    ["ends all of a user's", [{ kind: "deleteUser", user: "kim" }], [3]],
    ["issues another", [{ kind: "issue", user: "kim", ip: null }], [1, 2, 3]],
  ];
  it.each(runs)(
    "keeps exactly the sessions cached that a run cannot have changed, when it %s",
    async (_, requests, expected) => {
      const { store, cached } = await storeWithCache();
      await store.run(requests);
      expect(cached()).toEqual(expected);
    },
  );

  it("invalidates all sessions of a user when a run may evict the oldest", async () => {
    const { store, cached } = await storeWithCache({ maxSessionsPerUser: 2, limitPolicy: "evict-oldest" });
    const [issued] = await store.run([{ kind: "issue", user: "kim", ip: null }]);
    expect(issued?.status).toBe(Status.Ok);
    expect(cached()).toEqual([3]);
  });

  it("invalidates every session and every pending lookup when all sessions are ended", async () => {
    const { store, cache, cached } = await storeWithCache();
    const lookup = cache.begin(1, NOW);
    expect(await store.endAll()).toEqual({ ended: 3, complete: true });
    const times = { createdAt: NOW, expiresAt: NOW + 1_800_000 };
    cache.put(lookup, { sessid: 1, user: "kim", ip: null, grants: ["*"], ...times }, SECRET);
    expect(cached()).toEqual([]);
  });
});
