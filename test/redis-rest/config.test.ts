import { expect, test } from "vitest";
import { ConfigError } from "../../config/environment.ts";
import { parseRedisRestConfig } from "../../redis-rest/config.ts";

const minimal = { REDIS_URL: "redis://localhost", REDIS_REST_TOKEN: "secret" };

test("all variables but those of Redis and the token have a default", () => {
  expect(parseRedisRestConfig(minimal)).toEqual({
    host: "127.0.0.1",
    port: 8079,
    token: "secret",
    redis: {
      host: "localhost",
      port: 6379,
      tls: false,
      username: undefined,
      password: undefined,
      database: 0,
      sentinels: [],
      masterName: "mymaster",
    },
    replicaReads: false,
    writeReplicas: 0,
    readLeaseMs: 1_000,
    deadlineMs: 1_000,
    killScripts: true,
    body: { maxCommands: 10_000 },
    memory: { maxResponseBytes: 16_777_216, maxHeldBytes: 268_435_456 },
    connections: { max: 10_000, maxPerAddress: 1_000, headersMs: 5_000, bodyMs: 15_000, writeStallTimeoutMs: 15_000 },
    warnings: [],
  });
});

test("an empty variable counts as unset", () => {
  expect(parseRedisRestConfig({ ...minimal, REDIS_REST_PORT: "", REDIS_SENTINELS: "" })).toEqual(
    parseRedisRestConfig(minimal),
  );
});

test("user, password, database and TLS are parsed from the URL, percent-decoded", () => {
  expect(parseRedisRestConfig({ ...minimal, REDIS_URL: "rediss://kim:p%40ss@[::1]:7000/3" }).redis).toMatchObject({
    host: "::1",
    port: 7000,
    tls: true,
    username: "kim",
    password: "p@ss",
    database: 3,
  });
});

test("sentinels are parsed with or without a URL", () => {
  const sentinels = {
    REDIS_REST_TOKEN: "s".repeat(32),
    REDIS_SENTINELS: "a:26379, [::1]:26380",
    REDIS_MASTER: "games",
  };
  expect(parseRedisRestConfig(sentinels).redis).toMatchObject({
    sentinels: [
      { host: "a", port: 26379 },
      { host: "::1", port: 26380 },
    ],
    masterName: "games",
  });
});

test.each([
  ["REDIS_URL", ""],
  ["REDIS_URL", "localhost:6379"],
  ["REDIS_URL", "http://localhost"],
  ["REDIS_URL", "redis://localhost/zero"],
  ["REDIS_URL", "redis://:%zz@localhost"],
  ["REDIS_REST_TOKEN", ""],
  ["REDIS_REST_TOKEN", "two words"],
  ["REDIS_REST_PORT", "65536"],
  ["REDIS_REST_PORT", "-1"],
  ["REDIS_REST_PORT", "80a"],
  ["REDIS_SENTINELS", "localhost"],
  ["REDIS_SENTINELS", "localhost:0"],
  ["REPLICA_READS", "yes"],
  ["REPLICA_READS", "2"],
  ["WRITE_REPLICAS", "1.5"],
  ["READ_LEASE_MS", "99"],
  ["REDIS_REST_DEADLINE_MS", "0"],
  ["REDIS_REST_KILL_SCRIPTS", "no"],
  ["REDIS_REST_MAX_COMMANDS", "0"],
  ["REDIS_REST_MAX_RESPONSE_BYTES", "100000000"],
  ["REDIS_REST_MAX_HELD_BYTES", "1"],
  ["REDIS_REST_MAX_CONNECTIONS", "-1"],
  ["REDIS_REST_MAX_CONNECTIONS_PER_ADDRESS", "none"],
  ["REDIS_REST_HEADERS_MS", "5s"],
  ["REDIS_REST_BODY_MS", "0"],
  ["REDIS_REST_WRITE_STALL_TIMEOUT_MS", "0"],
])("%s=%j is refused in one line that names it", (name, value) => {
  let thrown: unknown;
  try {
    parseRedisRestConfig({ ...minimal, [name]: value });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(ConfigError);
  expect(String((thrown as Error).message)).toMatch(new RegExp(`^${name}: (allowed|needed) .+$`));
});

test("all variables that are wrong are named together", () => {
  const environment = { ...minimal, REDIS_REST_PORT: "http", WRITE_REPLICAS: "two", REDIS_REST_TOKEN: "" };
  expect(() => parseRedisRestConfig(environment)).toThrow(
    /^REDIS_REST_TOKEN: needed .*; REDIS_REST_PORT: allowed .*; WRITE_REPLICAS: allowed /,
  );
});

test("the old name of a renamed variable is accepted with a warning", () => {
  const old = { REDIS_REST_UNREAD_MS: "2000", REDIS_REST_MAX_ANSWER_BYTES: "4096" };
  const config = parseRedisRestConfig({ ...minimal, ...old });
  expect(config.connections.writeStallTimeoutMs).toBe(2000);
  expect(config.memory.maxResponseBytes).toBe(4096);
  expect(config.warnings).toEqual([
    expect.stringMatching(/^REDIS_REST_UNREAD_MS is called REDIS_REST_WRITE_STALL_TIMEOUT_MS now/),
    expect.stringMatching(/^REDIS_REST_MAX_ANSWER_BYTES is called REDIS_REST_MAX_RESPONSE_BYTES now/),
  ]);
});

test("no error shows a password or a token", () => {
  for (const env of [
    { ...minimal, REDIS_URL: "redis://:hunter2@localhost/zero" },
    { ...minimal, REDIS_REST_TOKEN: "hunter2 x" },
  ]) {
    expect(() => parseRedisRestConfig(env)).toThrow(/^(?!.*hunter2)/s);
  }
});
