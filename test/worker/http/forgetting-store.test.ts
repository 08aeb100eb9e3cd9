import { describe, expect, it } from "vitest";
import type { SessionRequest } from "../../../protocol/session-request.ts";
import { Status } from "../../../protocol/status-codes.ts";
import { CheckMemory } from "../../../worker/http/check-memory.ts";
import { ForgettingStore } from "../../../worker/http/forgetting-store.ts";
import type { SessionPolicy } from "../../../worker/session-store/session-store.ts";
import { createEmbeddedHarness } from "../session-store/embedded-harness.ts";

const SECRET = new Uint8Array(16).fill(1);
const NOW = 1_763_700_000_000;

/** A store that knows the sessions 1 and 2 of kim and 3 of lee, and a memory that knows them too. */
async function knowingStore(policy: Partial<SessionPolicy> = {}) {
  const memory = new CheckMemory();
  const harness = createEmbeddedHarness();
  await harness.clear();
  const inner = harness.open(policy);
  const store = new ForgettingStore(inner, memory, policy.limitPolicy === "evict-oldest");
  for (const [sessid, user] of [
    [1, "kim"],
    [2, "kim"],
    [3, "lee"],
  ] as const) {
    await inner.run([{ kind: "register", sessid, user, ip: null, secretHash: "a".repeat(43) }]);
    const times = { createdAt: NOW, expiresAt: NOW + 1_800_000 };
    memory.learn(memory.inquire(sessid, NOW), { sessid, user, ip: null, grants: ["*"], ...times }, SECRET);
  }
  const known = () => [1, 2, 3].filter((sessid) => memory.recall(sessid, SECRET, 5000, NOW) !== undefined);
  return { store, memory, known };
}

describe("a run that", () => {
  const runs: [what: string, requests: SessionRequest[], known: number[]][] = [
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
  it.each(runs)("%s leaves known what it cannot have ended", async (_, requests, expected) => {
    const { store, known } = await knowingStore();
    await store.run(requests);
    expect(known()).toEqual(expected);
  });

  it("evicts the oldest forgets it with the others of its user", async () => {
    const { store, known } = await knowingStore({ maxSessionsPerUser: 2, limitPolicy: "evict-oldest" });
    const [issued] = await store.run([{ kind: "issue", user: "kim", ip: null }]);
    expect(issued?.status).toBe(Status.Ok);
    expect(known()).toEqual([3]);
  });

  it("ends every session leaves none known, nor an answer that is under way", async () => {
    const { store, memory, known } = await knowingStore();
    const underWay = memory.inquire(1, NOW);
    expect(await store.endAll()).toEqual({ ended: 3, complete: true });
    const times = { createdAt: NOW, expiresAt: NOW + 1_800_000 };
    memory.learn(underWay, { sessid: 1, user: "kim", ip: null, grants: ["*"], ...times }, SECRET);
    expect(known()).toEqual([]);
  });
});
