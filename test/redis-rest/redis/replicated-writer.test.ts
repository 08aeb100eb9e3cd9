import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RedisRest } from "../../../redis-rest/server.ts";
import { type RedisReplication, startRedisReplication, withRedis } from "../../support/redis/redis-replicas.ts";
import { restPost, startTestRedisRest } from "../../support/redis/redis-rest.ts";
import { until } from "../../support/until.ts";

let replication: RedisReplication;
let rest: RedisRest;

/** For replicas that are stopped: reads and writes soon fail. */
const IMPATIENT = { REDIS_REST_DEADLINE_MS: "300", READ_LEASE_MS: "100" };

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
  test("a write with a response is on the replica, whichever route it took", async () => {
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

  test("a request waits once however many writes it has, and a read does not wait", async () => {
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

  test("concurrent requests wait in groups, and each gets its own replies", async () => {
    const before = await waitsAtPrimary();
    const responses = await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        restPost(rest, "/pipeline", [
          ["SET", `g${at}`, at],
          ["GET", `g${at}`],
        ]),
      ),
    );
    expect(responses.map(({ json }) => json)).toEqual(
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
  let impatient: RedisRest;
  beforeAll(async () => {
    impatient = await startTestRedisRest({ REDIS_URL: replication.primary.url, WRITE_REPLICAS: "1", ...IMPATIENT });
  });
  afterAll(() => impatient?.close());

  const UNPROVEN = { error: expect.stringMatching(/^NOREPLICAS too few replicas acknowledge the primary.*try again$/) };

  test("a write is refused though executed, and writes succeed again when the replica goes on", async () => {
    stop?.();
    const refused = await restPost(impatient, "/", ["SET", "unsure", "1"]);
    expect([refused.status, refused.json]).toEqual([503, { error: expect.stringMatching(/^NOREPLICAS .*try again$/) }]);
    const many = await Promise.all(Array.from({ length: 20 }, () => restPost(impatient, "/", ["INCR", "n"])));
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([503]));

    resume?.();
    await until(async () => (await restPost(impatient, "/", ["SET", "k", "v"])).status === 200);
  });

  test("a read does not show a refused write before the replica has it", async () => {
    await until(async () => (await restPost(impatient, "/", ["SET", "doubtful", "old"])).status === 200);
    stop?.();
    await restPost(impatient, "/", ["SET", "doubtful", "new"]);
    const read = await restPost(impatient, "/", ["GET", "doubtful"]);
    expect([read.status, read.json]).toEqual([503, UNPROVEN]);
    resume?.();
    await until(async () => (await restPost(impatient, "/", ["GET", "doubtful"])).status === 200);
    expect((await restPost(impatient, "/", ["GET", "doubtful"])).json).toEqual({ result: "new" });
  });

  test("a read that may show a write without acknowledgement waits for it, and other reads do not", async () => {
    await restPost(rest, "/pipeline", [
      ["SET", "moving", "old"],
      ["SET", "resting", "here"],
    ]);
    stop?.();
    const writing = restPost(rest, "/", ["SET", "moving", "new"]);
    expect((await restPost(rest, "/", ["GET", "resting"])).json).toEqual({ result: "here" });
    let hasResponse = false;
    const moving = restPost(rest, "/", ["GET", "moving"]).finally(() => {
      hasResponse = true;
    });
    expect((await restPost(rest, "/", ["GET", "resting"])).json).toEqual({ result: "here" });
    expect(hasResponse).toBe(false);
    resume?.();
    expect((await moving).json).toEqual({ result: "new" });
    expect((await writing).status).toBe(200);
  });

  test("reads without a write are refused after the lease, and are served when the replica goes on", async () => {
    await until(async () => (await restPost(impatient, "/", ["GET", "k"])).status === 200);
    stop?.();
    await until(async () => (await restPost(impatient, "/", ["GET", "k"])).status === 503);
    const read = await restPost(impatient, "/", ["GET", "k"]);
    expect([read.status, read.json]).toEqual([503, UNPROVEN]);
    expect((await fetch(`${impatient.url}/readyz`)).status).toBe(503);
    // An old acknowledgement of the replica would satisfy the WAIT of a command that changes nothing.
    expect((await restPost(impatient, "/", ["DEL", "never there"])).status).toBe(503);
    expect((await restPost(impatient, "/", ["EVAL", "return redis.call('GET', KEYS[1])", "1", "k"])).status).toBe(503);
    resume?.();
    await until(async () => (await restPost(impatient, "/", ["GET", "k"])).status === 200);
    await until(async () => (await fetch(`${impatient.url}/readyz`)).status === 200);
  });
});

test("a Redis user who may not publish the proofs is refused at the start", async () => {
  await withRedis(replication.primary, (redis) =>
    redis.call("ACL", "SETUSER", "quiet", "on", ">secret", "~*", "resetchannels", "+@all"),
  );
  const { host, port } = replication.primary;
  const REDIS_URL = `redis://quiet:secret@${host}:${port}`;
  await expect(startTestRedisRest({ REDIS_URL, WRITE_REPLICAS: "1" })).rejects.toThrow(
    /^WRITE_REPLICAS needs a Redis user that may call INFO, WAIT, and PUBLISH to the channel artoria:proof: NOPERM/,
  );
});

test("reads from replicas are refused too when the primary cannot prove that it has not been replaced", async () => {
  const both = await startRedisReplication(2);
  const reader = await startTestRedisRest({
    REDIS_URL: both.primary.url,
    WRITE_REPLICAS: "2",
    REPLICA_READS: "1",
    ...IMPATIENT,
  });
  try {
    await until(async () => (await restPost(reader, "/", ["SET", "k", "v"])).status === 200);
    await until(async () => (await restPost(reader, "/", ["GET", "k"])).text === '{"result":"v"}');
    // The other replica keeps up, and could be read all the time.
    both.replicas[1]?.signal("SIGSTOP");
    await until(async () => (await restPost(reader, "/", ["GET", "k"])).status === 503);
    both.replicas[1]?.signal("SIGCONT");
    await until(async () => (await restPost(reader, "/", ["GET", "k"])).status === 200);
  } finally {
    await reader.close();
    await both.stop();
  }
});
