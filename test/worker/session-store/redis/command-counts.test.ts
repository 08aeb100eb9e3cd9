import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import page from "../../../../docs/performance/capacity-and-cost.md?raw";
import type { SessionRequest } from "../../../../protocol/session-request.ts";
import type { SessionStore } from "../../../../worker/session-store/session-store.ts";
import { register } from "../conformance/session-requests.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

const SECRET_HASH = "A".repeat(43);
const numbers = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);
const users = (count: number, from = 1) => numbers(count, from).map((n) => register(n, { user: `user-${n}` }));
const checks = (count: number): SessionRequest[] => numbers(count).map((sessid) => ({ kind: "check", sessid }));

/** What the page counts the commands of; each with 100 sessions of as many users, and scripts that Redis has. */
const OPERATIONS: Readonly<Record<string, (store: SessionStore, harness: RedisHarness) => Promise<unknown>>> = {
  "1 check": (store) => store.run(checks(1)),
  "100 checks in a batch": (store) => store.run(checks(100)),
  "1 identification": (store) => store.run([{ kind: "identify", sessid: 1, secretHash: SECRET_HASH }]),
  "1 new session": (store) => store.run(users(1, 101)),
  "100 new sessions in a batch": (store) => store.run(users(100, 101)),
  "1 refresh": (store) => store.run(users(1)),
  "1 delete": (store) => store.run([{ kind: "delete", sessid: 1 }]),
  "100 deletes in a batch": (store) => store.run(numbers(100).map((sessid) => ({ kind: "delete", sessid }))),
  "the end of one user's session": (store) => store.run([{ kind: "deleteUser", user: "user-1" }]),
  "a user's list of 1 session": (store) => store.run([{ kind: "listUser", user: "user-1" }]),
  "1 count": (store) => store.run([{ kind: "count" }]),
  "a hub's read of the log": async (store) => {
    await store.readLog({ after: null, limit: 1000, lease: { hub: "hub", ms: 1000 } });
  },
  "an event hub's read of the log": async (store) => {
    await store.readLog({ after: null, limit: 1000, watchMs: 60_000 });
  },
};

/** By operation, what the page says. */
function countsOfPage(): Record<string, number> {
  const [, section = ""] = page.split("## Commands at Redis\n");
  const [table = ""] = section.split("\n## ");
  const rows = [...table.matchAll(/^\| ([^|]+?) \| (\d+) \|/gm)];
  return Object.fromEntries(rows.map(([, operation = "", count]) => [operation, Number(count)]));
}

describe("RedisStore", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  /** The commands that Redis has executed since its statistics were reset, those in scripts too. */
  async function executed(): Promise<number> {
    const stats = await harness.command<string>("INFO", "commandstats");
    const calls = [...stats.matchAll(/^cmdstat_(?!config|info|ping|hello|client)\S+:calls=(\d+)/gm)];
    return calls.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  it("executes as many commands as docs/performance/capacity-and-cost.md says", async () => {
    const counted: Record<string, number> = {};
    for (const [operation, run] of Object.entries(OPERATIONS)) {
      await harness.clear();
      const store = harness.open({ touchIntervalMs: 60_000 });
      await store.run(users(100));
      await store.run([register(1, { user: "user-1", secretHash: SECRET_HASH })]);
      await store.readLog({ after: null, limit: 1, lease: { hub: "hub", ms: 1 } });
      await harness.settle();
      await harness.command("CONFIG", "RESETSTAT");
      await run(store, harness);
      await harness.settle();
      counted[operation] = await executed();
    }
    expect(counted).toEqual(countsOfPage());
  });

  it.each<[string, SessionRequest]>([
    ["delete", { kind: "delete", sessid: 1 }],
    ["end of a user's sessions", { kind: "deleteUser", user: "user-1" }],
    ["refresh that gives other grants", register(1, { user: "user-1", grants: ["shop"] })],
  ])("executes as many commands for a %s while somebody watches as while nobody does", async (_, request) => {
    const counts: number[] = [];
    for (const watch of [{}, { watchMs: 60_000 }]) {
      await harness.clear();
      const store = harness.open({ touchIntervalMs: 60_000 });
      await store.run(users(2));
      await store.readLog({ after: null, limit: 1, ...watch });
      await harness.command("CONFIG", "RESETSTAT");
      await store.run([request]);
      counts.push(await executed());
    }
    expect(counts[1]).toBe(counts[0]);
  });

  it("executes as many commands for touches as docs/performance/capacity-and-cost.md says", async () => {
    const store = harness.open({ touchIntervalMs: 0 });
    await store.run(users(100));
    await harness.advance(1000);
    await harness.command("CONFIG", "RESETSTAT");
    await store.run(checks(100));
    await harness.settle();
    const said = Number(/100 touches take (\d+) commands/.exec(page)?.[1]);
    // Those of the checks themselves.
    expect((await executed()) - (countsOfPage()["100 checks in a batch"] ?? 0)).toBe(said);
  });
});
