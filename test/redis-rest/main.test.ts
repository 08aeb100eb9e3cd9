import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Program, runProgram } from "../support/processes/program.ts";
import { startTestRedisRest } from "../support/redis/redis-rest.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";

const servers: RedisServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

async function redisServer(...args: string[]): Promise<RedisServer> {
  const server = await startRedisServer({ args });
  servers.push(server);
  return server;
}

describe("the program", () => {
  test("serves until SIGTERM, behind a Redis with a password, and logs neither password nor token", async () => {
    const { port } = await redisServer("--requirepass", "hunter2");
    const program = Program.node("redis-rest/main.ts", [], {
      REDIS_URL: `redis://:hunter2@127.0.0.1:${port}/5`,
      REDIS_REST_TOKEN: "t0ken",
      REDIS_REST_PORT: "0",
    });
    try {
      const [, url] = await program.prints(/"url":"(http:[^"]+)"/);
      const response = await fetch(`${url}/set/k/v`, { headers: { Authorization: "Bearer t0ken" } });
      expect(await response.json()).toEqual({ result: "OK" });
      // A Ctrl-C under npm is two signals. Two of the same name could become one on their way.
      program.signal("SIGTERM");
      program.signal("SIGINT");
      expect(await program.ended()).toBe(0);
      expect(program.output).not.toMatch(/hunter2|t0ken/);
    } finally {
      await program.kill();
    }
  });

  test("ends with one line and exit code 1 if a variable is wrong", async () => {
    const { exitCode, stdout, stderr } = await runProgram("redis-rest/main.ts", [], {
      REDIS_URL: "redis://127.0.0.1",
      REDIS_REST_TOKEN: "t0ken",
      WRITE_REPLICAS: "two",
    });
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toBe("redis-rest: WRITE_REPLICAS: allowed is a whole number, 0..100\n");
  });

  test("names the variable of a port that is taken", async () => {
    const { url } = await redisServer();
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const variables = { REDIS_URL: url, REDIS_REST_TOKEN: "t0ken", REDIS_REST_PORT: String(port) };
    const { exitCode, stderr } = await runProgram("redis-rest/main.ts", [], variables);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^redis-rest: REDIS_REST_PORT: the port is taken.*\n$/);
    taken.close();
  });
});

describe("redis-rest does not start", () => {
  test("without a Redis", async () => {
    await expect(startTestRedisRest({ REDIS_URL: "redis://127.0.0.1:1" })).rejects.toThrow(
      /can't be reached: connect ECONNREFUSED 127\.0\.0\.1:1$/,
    );
  });

  test.each([
    ["a Redis Cluster", ["--cluster-enabled", "yes"], "is a Redis Cluster node, which redis-rest does not serve"],
    ["a replica", ["--replicaof", "127.0.0.1", "1"], "is a replica"],
  ])("in front of %s", async (_, args, line) => {
    const { url } = await redisServer(...args);
    await expect(startTestRedisRest({ REDIS_URL: url })).rejects.toThrow(line);
  });
});
