import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MAX_REPLICA_LAG_MS } from "../../redis-rest/redis/replica-set.ts";
import type { RedisRest } from "../../redis-rest/server.ts";
import { type RedisReplication, startRedisReplication, withRedis } from "../support/redis/redis-replicas.ts";
import { restPost, startTestRedisRest } from "../support/redis/redis-rest.ts";
import { until } from "../support/until.ts";

const READ_LEASE_MS = 1_000;
const DEADLINE_MS = 1_000;
/** What a small, shared machine may add. */
const SLACK_MS = 5_000;

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
  const [stop, resume] = (["SIGSTOP", "SIGCONT"] as const).map(
    (signal) => () => replication.replicas[0]?.signal(signal),
  );
  const UNPROVEN = { error: expect.stringMatching(/^NOREPLICAS too few replicas acknowledge the primary.*try again$/) };

  test("writes are refused though executed, and come back by themselves", async () => {
    stop?.();
    const refused = await restPost(rest, "/", ["SET", "unsure", "1"]);
    expect([refused.status, refused.json]).toEqual([503, { error: expect.stringMatching(/^NOREPLICAS .*try again$/) }]);
    const many = await Promise.all(Array.from({ length: 20 }, () => restPost(rest, "/", ["INCR", "n"])));
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([503]));

    resume?.();
    await until(async () => (await restPost(rest, "/", ["SET", "k", "v"])).status === 200);
  });

  test("a read never shows a write that was refused, before the replica has it", async () => {
    await restPost(rest, "/", ["SET", "doubtful", "old"]);
    stop?.();
    await restPost(rest, "/", ["SET", "doubtful", "new"]);
    const read = await restPost(rest, "/", ["GET", "doubtful"]);
    expect([read.status, read.json]).toEqual([503, UNPROVEN]);
    resume?.();
    await until(async () => (await restPost(rest, "/", ["GET", "doubtful"])).status === 200);
    expect((await restPost(rest, "/", ["GET", "doubtful"])).json).toEqual({ result: "new" });
  });

  test("a read that may show a write on its way to the replica waits for it, and another does not", async () => {
    await restPost(rest, "/pipeline", [
      ["SET", "moving", "old"],
      ["SET", "resting", "here"],
    ]);
    stop?.();
    const writing = restPost(rest, "/", ["SET", "moving", "new"]);
    expect((await restPost(rest, "/", ["GET", "resting"])).json).toEqual({ result: "here" });
    let isAnswered = false;
    const moving = restPost(rest, "/", ["GET", "moving"]).finally(() => {
      isAnswered = true;
    });
    expect((await restPost(rest, "/", ["GET", "resting"])).json).toEqual({ result: "here" });
    expect(isAnswered).toBe(false);
    resume?.();
    expect((await moving).json).toEqual({ result: "new" });
    expect((await writing).status).toBe(200);
  });

  test("reads without any write are refused within the lease and a deadline, and are served again", async () => {
    expect((await restPost(rest, "/", ["GET", "k"])).status).toBe(200);
    stop?.();
    await until(
      async () => (await restPost(rest, "/", ["GET", "k"])).status === 503,
      READ_LEASE_MS + DEADLINE_MS + SLACK_MS,
    );
    const read = await restPost(rest, "/", ["GET", "k"]);
    expect([read.status, read.json]).toEqual([503, UNPROVEN]);
    expect((await fetch(`${rest.url}/readyz`)).status).toBe(503);
    // What changes nothing would be acknowledged by what the replica said long ago.
    expect((await restPost(rest, "/", ["DEL", "never there"])).status).toBe(503);
    expect((await restPost(rest, "/", ["EVAL", "return redis.call('GET', KEYS[1])", "1", "k"])).status).toBe(503);
    resume?.();
    await until(async () => (await restPost(rest, "/", ["GET", "k"])).status === 200);
    await until(async () => (await fetch(`${rest.url}/readyz`)).status === 200);
  });
});

test("a user who may not publish the proofs is refused at the start", async () => {
  await withRedis(replication.primary, (redis) =>
    redis.call("ACL", "SETUSER", "quiet", "on", ">secret", "~*", "resetchannels", "+@all"),
  );
  const { host, port } = replication.primary;
  const REDIS_URL = `redis://quiet:secret@${host}:${port}`;
  await expect(startTestRedisRest({ REDIS_URL, WRITE_REPLICAS: "1" })).rejects.toThrow(
    /^WRITE_REPLICAS needs a Redis user that may call INFO, WAIT, and PUBLISH to the channel artoria:proof: NOPERM/,
  );
});

test("reads from replicas end too when the primary can no longer prove that it is one", async () => {
  const both = await startRedisReplication(2);
  const reader = await startTestRedisRest({ REDIS_URL: both.primary.url, WRITE_REPLICAS: "2", REPLICA_READS: "1" });
  try {
    await restPost(reader, "/", ["SET", "k", "v"]);
    expect((await restPost(reader, "/", ["GET", "k"])).json).toEqual({ result: "v" });
    // The other one keeps up, and would be read for as long as this one is away.
    both.replicas[1]?.signal("SIGSTOP");
    const boundMs = MAX_REPLICA_LAG_MS + READ_LEASE_MS + DEADLINE_MS;
    await until(async () => (await restPost(reader, "/", ["GET", "k"])).status === 503, boundMs + SLACK_MS);
    both.replicas[1]?.signal("SIGCONT");
    await until(async () => (await restPost(reader, "/", ["GET", "k"])).status === 200);
  } finally {
    await reader.close();
    await both.stop();
  }
});
