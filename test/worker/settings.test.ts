import { describe, expect, it } from "vitest";
import { parseSettings } from "../../worker/settings.ts";

const redis = {
  SESSION_STORE: "redis",
  UPSTASH_REDIS_REST_URL: "https://redis.test",
  UPSTASH_REDIS_REST_TOKEN: `secret-${"0".repeat(32)}`,
};

const OLD_KEY = "old-".repeat(8);
const NEW_KEY = "new-".repeat(8);

describe("parseSettings", () => {
  it("has the documented defaults", () => {
    expect(parseSettings({ SESSION_STORE: "embedded" })).toEqual({
      apiKeys: [],
      trustedProxies: [],
      store: { kind: "embedded" },
      policy: {
        idleMs: 1_800_000,
        maxMs: 86_400_000,
        touchIntervalMs: 60_000,
        maxSessionsPerUser: 0,
        limitPolicy: "reject",
      },
      web: { grants: ["room:*"], signup: "open" },
      forms: { timeoutMs: 15_000, maxWaiting: 256, maxWaitingPerAddress: 64 },
      login: {
        triesPerAccount: 30,
        triesPerAccountFromNetwork: 10,
        triesPerDevice: 10,
        failuresPerAddress: 60,
        failuresPerNetwork: 240,
        signupsPerAddress: 60,
        signupsPerNetwork: 240,
      },
      room: { historyMessages: 50, maxMembers: 1000 },
    });
  });

  it("takes every variable", () => {
    const settings = parseSettings({
      ...redis,
      API_KEYS: ` ${OLD_KEY}, ${NEW_KEY} ,`,
      TRUSTED_PROXIES: "192.0.2.1, 2001:db8::1",
      SESSION_TTL_SECONDS: "60",
      SESSION_MAX_SECONDS: 120,
      TOUCH_INTERVAL_SECONDS: "0",
      MAX_SESSIONS_PER_USER: "3",
      SESSION_LIMIT_POLICY: "evict-oldest",
      WEB_GRANTS: "room:lobby, /shop/*,",
      SIGNUP: "closed",
      FORM_TIMEOUT_SECONDS: "1",
      MAX_WAITING_FORMS: "2",
      MAX_WAITING_FORMS_PER_ADDRESS: "1",
      LOGIN_TRIES_PER_ACCOUNT: "1",
      LOGIN_TRIES_PER_ACCOUNT_FROM_NETWORK: "2",
      LOGIN_TRIES_PER_DEVICE: "3",
      LOGIN_FAILURES_PER_ADDRESS: "4",
      LOGIN_FAILURES_PER_NETWORK: "5",
      SIGNUPS_PER_ADDRESS: "6",
      SIGNUPS_PER_NETWORK: "7",
      ROOM_HISTORY_MESSAGES: "0",
      ROOM_MAX_MEMBERS: "10",
    });
    expect(settings).toEqual({
      apiKeys: [OLD_KEY, NEW_KEY],
      trustedProxies: ["192.0.2.1", "2001:db8::1"],
      store: { kind: "redis", url: "https://redis.test", token: redis.UPSTASH_REDIS_REST_TOKEN },
      policy: {
        idleMs: 60_000,
        maxMs: 120_000,
        touchIntervalMs: 0,
        maxSessionsPerUser: 3,
        limitPolicy: "evict-oldest",
      },
      web: { grants: ["room:lobby", "/shop/*"], signup: "closed" },
      forms: { timeoutMs: 1000, maxWaiting: 2, maxWaitingPerAddress: 1 },
      login: {
        triesPerAccount: 1,
        triesPerAccountFromNetwork: 2,
        triesPerDevice: 3,
        failuresPerAddress: 4,
        failuresPerNetwork: 5,
        signupsPerAddress: 6,
        signupsPerNetwork: 7,
      },
      room: { historyMessages: 0, maxMembers: 10 },
    });
  });

  it.each([
    ["SESSION_STORE", {}],
    ["SESSION_STORE", { SESSION_STORE: "memcached" }],
    ["UPSTASH_REDIS_REST_URL", { SESSION_STORE: "redis", UPSTASH_REDIS_REST_TOKEN: redis.UPSTASH_REDIS_REST_TOKEN }],
    ["UPSTASH_REDIS_REST_URL", { ...redis, UPSTASH_REDIS_REST_URL: "redis://redis.test" }],
    ["UPSTASH_REDIS_REST_TOKEN", { ...redis, UPSTASH_REDIS_REST_TOKEN: undefined }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "0" }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "" }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "30m" }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "86401" }],
    ["TOUCH_INTERVAL_SECONDS", { ...redis, TOUCH_INTERVAL_SECONDS: "-1" }],
    ["MAX_SESSIONS_PER_USER", { ...redis, MAX_SESSIONS_PER_USER: "1.5" }],
    ["SESSION_LIMIT_POLICY", { ...redis, SESSION_LIMIT_POLICY: "newest" }],
    ["WEB_GRANTS.1", { ...redis, WEB_GRANTS: "room:*,a*b" }],
    ["WEB_GRANTS", { ...redis, WEB_GRANTS: Array(65).fill("a").join(",") }],
    ["SIGNUP", { ...redis, SIGNUP: "yes" }],
    ["LOGIN_TRIES_PER_ACCOUNT", { ...redis, LOGIN_TRIES_PER_ACCOUNT: "0" }],
    ["ROOM_HISTORY_MESSAGES", { ...redis, ROOM_HISTORY_MESSAGES: "all" }],
    ["ROOM_MAX_MEMBERS", { ...redis, ROOM_MAX_MEMBERS: "0" }],
  ])("refuses a wrong %s by name, without its value", (name, environment) => {
    expect(() => parseSettings(environment)).toThrow(new RegExp(`^${name}: .*(allowed|needed)`));
    expect(() => parseSettings(environment)).not.toThrow(/secret|redis\.test/);
  });
});
