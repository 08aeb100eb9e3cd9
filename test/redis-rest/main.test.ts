import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Program } from "../support/processes/program.ts";
import { type RedisServer, startRedisServer } from "../support/redis/redis-server.ts";

const running: Program[] = [];
const servers: RedisServer[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((program) => program.kill()));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

function startProgram(variables: Readonly<Record<string, string>>): Program {
  const program = Program.node("redis-rest/main.ts", [], variables);
  running.push(program);
  return program;
}

async function redisServer(...args: string[]): Promise<RedisServer> {
  const server = await startRedisServer({ args });
  servers.push(server);
  return server;
}

test("serves until SIGTERM, behind a Redis with a password, and logs neither password nor token", async () => {
  const { port } = await redisServer("--requirepass", "hunter2");
  const program = startProgram({
    REDIS_URL: `redis://:hunter2@127.0.0.1:${port}/5`,
    REDIS_REST_TOKEN: "t0ken",
    REDIS_REST_PORT: "0",
  });
  const [, url] = await program.prints(/"url":"(http:[^"]+)"/);
  const answer = await fetch(`${url}/set/k/v`, { headers: { Authorization: "Bearer t0ken" } });
  expect(await answer.json()).toEqual({ result: "OK" });
  program.signal("SIGTERM");
  expect(await program.ended()).toBe(0);
  expect(program.output).not.toMatch(/hunter2|t0ken/);
});

test.each([
  [
    "a wrong variable",
    { WRITE_REPLICAS: "two", REDIS_URL: "redis://127.0.0.1" },
    "WRITE_REPLICAS: allowed is a whole number, 0..100",
  ],
  [
    "no token",
    { REDIS_URL: "redis://127.0.0.1", REDIS_REST_TOKEN: "" },
    "REDIS_REST_TOKEN: needed is the bearer token",
  ],
  ["no Redis", { REDIS_URL: "redis://127.0.0.1:1" }, "can't be reached: connect ECONNREFUSED 127.0.0.1:1"],
])("ends with one line and status 1 for %s", async (_, env, line) => {
  const program = startProgram({ REDIS_REST_TOKEN: "t0ken", REDIS_REST_PORT: "0", ...env });
  expect(await program.ended()).toBe(1);
  expect(program.output).toMatch(/^redis-rest: .+\n$/);
  expect(program.output).toContain(line);
});

test.each([
  ["a Redis Cluster", ["--cluster-enabled", "yes"], "is a Redis Cluster node, which redis-rest does not serve"],
  ["a replica", ["--replicaof", "127.0.0.1", "1"], "is a replica"],
])("refuses %s", async (_, args, line) => {
  const { url } = await redisServer(...args);
  const program = startProgram({ REDIS_URL: url, REDIS_REST_TOKEN: "t0ken", REDIS_REST_PORT: "0" });
  expect(await program.ended()).toBe(1);
  expect(program.output).toContain(line);
});

test("names the variable when the port is taken", async () => {
  const { url } = await redisServer();
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const program = startProgram({ REDIS_URL: url, REDIS_REST_TOKEN: "t0ken", REDIS_REST_PORT: String(port) });
  expect(await program.ended()).toBe(1);
  expect(program.output).toContain("REDIS_REST_PORT: the port is taken");
  taken.close();
});
