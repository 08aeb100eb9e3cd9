import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CHECK } from "../../../../worker/session-store/redis/check.ts";
import { touchCalls } from "../../../../worker/session-store/redis/touch.ts";
import { runOne } from "../../../../worker/session-store/session-store.ts";
import { live, register } from "../conformance/session-requests.ts";
import { testPolicy } from "../store-harness.ts";
import { type RedisHarness, startRedisHarness } from "./redis-harness.ts";

const MAX_MS = 10 ** 9;

/** Writes a record that ends `ARGV[3]` ms from now and that Redis itself does not expire; the check follows at once. */
const CHECK_OF_EDGE = `
  do
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    redis.call('SET', KEYS[1], string.format('{"e":%.0f,"t":%.0f,"c":%.0f,"i":1000}', now + ARGV[3], now, now))
  end
  ${CHECK.source}
`;

describe("the scripts of RedisStore", () => {
  let harness: RedisHarness;
  beforeAll(async () => {
    harness = await startRedisHarness();
  });
  beforeEach(() => harness.clear());
  afterAll(() => harness.close());

  it.each([
    [-1, "0"],
    [0, "0"],
    [1, "1"],
  ])("return, for a session that ends in %i ms, the digit %s", async (offsetMs, digit) => {
    // The clock may tick between the record and the check: then it is tried again.
    for (;;) {
      const [text = ""] = await harness.command<[string]>(
        "EVAL",
        CHECK_OF_EDGE,
        "1",
        harness.keys.session(1),
        "60000",
        "1",
        String(offsetMs),
      );
      const { e } = JSON.parse(await harness.command("GET", harness.keys.session(1))) as { e: number };
      if (e - Number(text.slice(0, 13)) !== offsetMs) continue;
      expect(text.slice(13)).toBe(digit);
      return;
    }
  });

  describe("of a touch", () => {
    /** Writes the touch of a check at `at`, by the harness's clock. */
    async function touch(at: number, touchIntervalMs = 0): Promise<void> {
      const policy = testPolicy(harness.idleMs, { maxMs: MAX_MS, touchIntervalMs });
      for (const { script, keys, args } of touchCalls(
        [{ sessid: 1, at: harness.storedTime(at) }],
        harness.keys,
        policy,
      )) {
        await harness.command("EVAL", script.source, String(keys.length), ...keys, ...args);
      }
    }

    it("moves an expiry to where the check would have moved it, however late the touch comes", async () => {
      const store = harness.open();
      await runOne(store, register(1, { idleMs: 60_000 }));
      const { createdAt } = await live(store, 1);
      await harness.advance(50);
      await touch(createdAt + 20);
      expect((await live(store, 1)).expiresAt).toBe(createdAt + 60_020);
    });

    it("never moves an expiry backwards", async () => {
      const store = harness.open();
      await runOne(store, register(1, { idleMs: 60_000 }));
      const before = await live(store, 1);
      await touch(before.createdAt - 10);
      expect(await live(store, 1)).toEqual(before);
    });

    it("writes one touch when two checks found it due", async () => {
      const store = harness.open();
      await runOne(store, register(1, { idleMs: 60_000 }));
      const { createdAt } = await live(store, 1);
      await harness.advance(50);
      await touch(createdAt + 40, 40);
      await touch(createdAt + 45, 40);
      expect((await live(store, 1)).expiresAt).toBe(createdAt + 60_040);
    });

    it("takes a check from the future as one of now", async () => {
      const store = harness.open();
      await runOne(store, register(1, { idleMs: 60_000 }));
      await touch((await harness.now()) + 5000);
      expect((await live(store, 1)).expiresAt).toBeLessThanOrEqual((await harness.now()) + 60_000);
    });

    it("does not recreate a session that has ended", async () => {
      await touch(await harness.now());
      expect(await harness.command("KEYS", "*")).toEqual([]);
    });
  });
});
