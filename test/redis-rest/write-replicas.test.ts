import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RedisRest } from "../../redis-rest/server.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisReplication, startRedisReplication, withRedis } from "../support/redis-replicas.ts";
import { startTestRedisRest } from "../support/redis-rest.ts";
import { restPost } from "../support/rest-call.ts";

let replication: RedisReplication;
let rest: RedisRest;

beforeAll(async () => {
  replication = await startRedisReplication(1);
  rest = await startTestRedisRest({ REDIS_URL: replication.primary.url, WRITE_REPLICAS: "1" });
});
afterAll(async () => {
  await rest?.close();
  await replication?.stop();
});

function waitsAtPrimary(): Promise<number> {
  return withRedis(replication.primary, async (redis) => {
    const stats = await redis.info("commandstats");
    return Number(/^cmdstat_wait:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
  });
}

describe("while the replica keeps up", () => {
  test("a write that was answered is on the replica, whichever way it was asked", async () => {
    const [replica] = replication.replicas;
    if (replica === undefined) throw new Error("a replica was started");
    await withRedis(replica, async (redis) => {
      expect((await restPost(rest, "/", ["SET", "one", "1"])).status).toBe(200);
      expect(await redis.get("one")).toBe("1");
      await restPost(rest, "/pipeline", [
        ["SET", "two", "2"],
        ["GET", "two"],
      ]);
      expect(await redis.get("two")).toBe("2");
      await restPost(rest, "/multi-exec", [
        ["SET", "three", "3"],
        ["DEL", "one"],
      ]);
      expect(await redis.mget("one", "three")).toEqual([null, "3"]);
      await restPost(rest, "/", ["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "four", "4"]);
      expect(await redis.get("four")).toBe("4");
    });
  });

  test("a request waits once however many writes it has, and a read not at all", async () => {
    const before = await waitsAtPrimary();
    await restPost(
      rest,
      "/pipeline",
      Array.from({ length: 50 }, (_, at) => ["SET", `k${at}`, at]),
    );
    expect(await waitsAtPrimary()).toBe(before + 1);
    await restPost(rest, "/pipeline", [["GET", "k1"], ["PING"], ["EVAL_RO", "return 1", "0"]]);
    expect(await waitsAtPrimary()).toBe(before + 1);
  });

  test("requests at the same time wait in groups, and each gets its own replies", async () => {
    const before = await waitsAtPrimary();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        restPost(rest, "/pipeline", [
          ["SET", `g${at}`, at],
          ["GET", `g${at}`],
        ]),
      ),
    );
    expect(answers.map(({ json }) => json)).toEqual(
      Array.from({ length: 200 }, (_, at) => [{ result: "OK" }, { result: String(at) }]),
    );
    const waits = (await waitsAtPrimary()) - before;
    expect(waits).toBeGreaterThan(0);
    expect(waits).toBeLessThan(200);
  });
});

describe("while the replica is stopped", () => {
  test("writes are refused though executed, reads are served, and writes come back by themselves", async () => {
    const [replica] = replication.replicas;
    replica?.signal("SIGSTOP");
    const refused = await restPost(rest, "/", ["SET", "unsure", "1"]);
    expect([refused.status, refused.json]).toEqual([503, { error: expect.stringMatching(/^NOREPLICAS .*try again$/) }]);
    const read = await restPost(rest, "/", ["GET", "unsure"]);
    expect([read.status, read.json]).toEqual([200, { result: "1" }]);
    const many = await Promise.all(Array.from({ length: 20 }, () => restPost(rest, "/", ["INCR", "n"])));
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([503]));

    replica?.signal("SIGCONT");
    await eventually(async () => (await restPost(rest, "/", ["SET", "k", "v"])).status === 200);
  });
});
