import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../config/environment.ts";
import { parseStackConfig } from "../../dev/config.ts";
import { parseRedisRestConfig } from "../../redis-rest/config.ts";
import { parseWorkerConfig } from "../../worker/config.ts";
import { runProgram } from "../support/processes/program.ts";

const LONG = "k".repeat(32);
const SHORT = "k".repeat(31);

describe("the worker", () => {
  const upstash = {
    SESSION_STORE: "redis",
    UPSTASH_REDIS_REST_URL: "https://redis.example",
    UPSTASH_REDIS_REST_TOKEN: LONG,
  };
  const here = { ...upstash, UPSTASH_REDIS_REST_URL: "http://127.0.0.1:8079" };

  it.each([
    ["API_KEYS", { SESSION_STORE: "embedded", API_KEYS: "a" }],
    ["API_KEYS", { SESSION_STORE: "embedded", API_KEYS: "dev-key", LOOPBACK_ONLY: "0" }],
    ["API_KEYS", { ...upstash, API_KEYS: `${LONG},${SHORT}` }],
    ["API_KEYS", { ...here, API_KEYS: "dev-key" }],
    // What starts the worker may be wrong about the store.
    ["API_KEYS", { ...upstash, API_KEYS: "dev-key", LOOPBACK_ONLY: "1" }],
    ["UPSTASH_REDIS_REST_TOKEN", { ...upstash, UPSTASH_REDIS_REST_TOKEN: "t" }],
    ["UPSTASH_REDIS_REST_TOKEN", { ...upstash, UPSTASH_REDIS_REST_TOKEN: SHORT, LOOPBACK_ONLY: "1" }],
    ["UPSTASH_REDIS_REST_TOKEN", { ...here, UPSTASH_REDIS_REST_TOKEN: "t" }],
    ["UPSTASH_REDIS_REST_URL", { ...upstash, UPSTASH_REDIS_REST_URL: "http://redis.example" }],
    ["UPSTASH_REDIS_REST_URL", { ...upstash, UPSTASH_REDIS_REST_URL: "http://10.0.0.5:8079", LOOPBACK_ONLY: "1" }],
    ["UPSTASH_REDIS_REST_URL", { ...upstash, UPSTASH_REDIS_REST_URL: "http://127.0.0.1@redis.example" }],
    ["UPSTASH_REDIS_REST_URL", { ...upstash, UPSTASH_REDIS_REST_URL: "http://127.0.0.1.redis.example" }],
    ["LOOPBACK_ONLY", { SESSION_STORE: "embedded", LOOPBACK_ONLY: "yes" }],
  ])("does not work with a weak %s, and says what is allowed without its value", (name, environment) => {
    expect(() => parseWorkerConfig(environment)).toThrow(new RegExp(`^${name}: .*(allowed|32 characters)`));
    expect(() => parseWorkerConfig(environment)).not.toThrow(new RegExp(`${SHORT}|dev-key$`));
  });

  it.each([
    ["keys of 32 characters", { ...upstash, API_KEYS: `${LONG}, ${LONG}` }],
    ["no key at all", upstash],
    ["a short key where everything is here", { SESSION_STORE: "embedded", API_KEYS: "dev-key", LOOPBACK_ONLY: "1" }],
    ["a short token here", { ...here, API_KEYS: "dev-key", UPSTASH_REDIS_REST_TOKEN: "t", LOOPBACK_ONLY: "1" }],
    ["https to this machine", { ...upstash, UPSTASH_REDIS_REST_URL: "https://localhost:8079" }],
    ["http to ::1", { ...upstash, UPSTASH_REDIS_REST_URL: "http://[::1]:8079" }],
  ])("works with %s", (_, environment) => {
    expect(() => parseWorkerConfig(environment)).not.toThrow();
  });
});

describe("redis-rest", () => {
  const here = { REDIS_URL: "redis://127.0.0.1:6379", REDIS_REST_TOKEN: "t" };
  const remote = [
    { ...here, REDIS_REST_HOST: "0.0.0.0" },
    { ...here, REDIS_REST_HOST: "::" },
    { ...here, REDIS_REST_HOST: "10.0.0.4" },
    { ...here, REDIS_URL: "redis://10.0.0.5:6379" },
    { ...here, REDIS_URL: "redis://redis.example" },
    { ...here, REDIS_SENTINELS: "127.0.0.1:26379,10.0.0.6:26379" },
  ];
  it.each(remote)("does not start with a token of less than 32 characters beyond loopback: %j", (env) => {
    for (const token of ["t", SHORT]) {
      const parse = () => parseRedisRestConfig({ ...env, REDIS_REST_TOKEN: token });
      expect(parse).toThrow(ConfigError);
      expect(parse).toThrow(/^REDIS_REST_TOKEN: allowed are 32 characters or more, unless .* on loopback; "openssl/);
    }
    expect(parseRedisRestConfig({ ...env, REDIS_REST_TOKEN: LONG }).token).toBe(LONG);
  });

  it("may have any token where everything is on loopback", () => {
    expect(parseRedisRestConfig(here).token).toBe("t");
    expect(parseRedisRestConfig({ ...here, REDIS_REST_HOST: "::1", REDIS_URL: "redis://localhost" }).token).toBe("t");
  });
});

describe("npm start", () => {
  const remote: [string, Record<string, string>][] = [
    ["REDIS_URL", { REDIS_URL: "redis://10.0.0.5:6379" }],
    ["REDIS_URL", { REDIS_URL: "rediss://:secret@redis.example" }],
    ["BRIDGE_HOST", { BRIDGE_HOST: "0.0.0.0" }],
    ["PLAYER_HOST", { PLAYER_HOST: "::" }],
  ];
  it.each(remote)("refuses dev-key and other short keys when %s is beyond loopback: %j", (name, env) => {
    const line = new RegExp(`^API_KEY: allowed are 32 characters or more when ${name} is beyond loopback, .*openssl`);
    const keys = [{}, { API_KEY: "dev-key" }, { API_KEYS: SHORT }, { API_KEY: LONG, API_KEYS: `${LONG},a` }];
    for (const key of keys) expect(() => parseStackConfig({ ...env, ...key })).toThrow(line);
    expect(parseStackConfig({ ...env, API_KEY: LONG })).toMatchObject({ apiKey: LONG, isLoopbackOnly: false });
  });

  it("takes dev-key with a Redis on loopback", () => {
    const config = parseStackConfig({ REDIS_URL: "redis://127.0.0.1:6379/1", PLAYER_HOST: "::1" });
    expect(config).toMatchObject({ apiKey: "dev-key", isLoopbackOnly: true });
  });

  it("ends with one line that says how to make a key, and starts nothing", async () => {
    const { exitCode, stderr } = await runProgram("dev/start.js", [], { REDIS_URL: "redis://10.0.0.5:6379" });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(
      /^npm start: API_KEY: .* dev-key is for loopback only; "openssl rand -base64 32" makes one\n$/,
    );
  });
});

it("wrangler.toml calls no deployment loopback only", async () => {
  expect(await readFile(new URL("../../wrangler.toml", import.meta.url), "utf8")).not.toContain("LOOPBACK_ONLY");
});
