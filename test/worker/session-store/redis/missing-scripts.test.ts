import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Status } from "../../../../protocol/status-codes.ts";
import { EVERY_SCRIPT } from "../../../../worker/session-store/redis/redis-store.ts";
import { check, count, register } from "../conformance/session-requests.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

describe("RedisStore, when scripts are missing in Redis,", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  const loaded = async () =>
    Number(/number_of_cached_scripts:(\d+)/.exec(await harness.command("INFO", "memory"))?.[1]);
  const evalCalls = async () =>
    Number(/cmdstat_eval(?:_ro)?:calls=(\d+)/.exec(await harness.command("INFO", "commandstats"))?.[1] ?? 0);

  it("loads all of them with the first request of an isolate, which needs no second", async () => {
    await harness.command("SCRIPT", "FLUSH");
    const store = harness.open();
    expect(await check(store, 1)).toBe(Status.NotFound);
    expect(await loaded()).toBe(EVERY_SCRIPT.length);
    expect(await evalCalls()).toBe(0);
  });

  it("loads all of them after a SCRIPT FLUSH and answers the batch in its order", async () => {
    const store = harness.open();
    await store.run([register(7)]);
    await harness.command("SCRIPT", "FLUSH");
    const checkSeven = { kind: "check", sessid: 7 } as const;
    const responses = await store.run([
      checkSeven,
      { kind: "delete", sessid: 7 },
      checkSeven,
      register(7, { user: "lee" }),
      checkSeven,
      { kind: "count" },
    ]);
    expect(responses.map(({ status }) => status)).toEqual([
      Status.Ok,
      Status.Ok,
      Status.NotFound,
      Status.Ok,
      Status.Ok,
      Status.Ok,
    ]);
    expect(responses.at(-1)).toMatchObject({ sessions: 1, users: 1 });
    expect(await loaded()).toBe(EVERY_SCRIPT.length);
  });

  it("repeats only the calls whose script is missing", async () => {
    const store = harness.open();
    await store.run([register(1), register(2)]);
    await harness.command("SCRIPT", "FLUSH");
    await store.run([{ kind: "delete", sessid: 1 }, { kind: "count" }]);
    expect(await count(store)).toEqual([1, 1]);
  });

  it("writes touches all the same", async () => {
    const store = harness.open();
    await store.run([register(1, { idleMs: 60_000 })]);
    const before = await harness.command<string>("GET", harness.keys.session(1));
    await harness.advance(5);
    await harness.command("SCRIPT", "FLUSH");
    await check(store, 1);
    await harness.settle();
    expect(await harness.command("GET", harness.keys.session(1))).not.toBe(before);
  });
});
