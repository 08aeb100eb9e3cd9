import { describe, expect, it } from "vitest";
import { parseWorkerConfig } from "../../worker/config.ts";

const redis = {
  SESSION_STORE: "redis",
  UPSTASH_REDIS_REST_URL: "https://redis.test",
  UPSTASH_REDIS_REST_TOKEN: `secret-${"0".repeat(32)}`,
};

const OLD_KEY = "old-".repeat(8);
const NEW_KEY = "new-".repeat(8);

const OLD_SECRET = webhookSecret(24, 1);
const NEW_SECRET = webhookSecret(64, 2);

function webhookSecret(bytes: number, value = 0): string {
  return `whsec_${btoa(String.fromCharCode(...Array<number>(bytes).fill(value)))}`;
}

describe("parseWorkerConfig", () => {
  it("all variables but SESSION_STORE have the documented defaults", () => {
    expect(parseWorkerConfig({ SESSION_STORE: "embedded" })).toEqual({
      apiKeys: [],
      trustedProxies: [],
      store: { kind: "embedded" },
      policy: {
        idleMs: 1_800_000,
        maxMs: 86_400_000,
        touchIntervalMs: 60_000,
        maxSessionsPerUser: 100,
        limitPolicy: "reject",
      },
      logEntries: 100_000,
      revocationBoundMs: 1000,
      webhook: null,
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
      maxRoomsPerSession: 20,
      room: {
        historyMessages: 50,
        maxMembers: 1000,
        maxSeatsPerUser: 10,
        maxUnjoined: 1000,
        maxUnjoinedPerSession: 4,
        ackTimeoutMs: 30_000,
        sender: {
          messages: { perSecond: 500, burst: 2000 },
          bytes: { perSecond: 262_144, burst: 524_288 },
          datagrams: { perSecond: 200, burst: 400 },
          datagramBytes: { perSecond: 131_072, burst: 524_288 },
          packets: { perSecond: 10_000, burst: 20_000 },
        },
        log: {
          maxEntries: 10_000,
          maxBytes: 16_777_216,
          maxAgeMs: 3_600_000,
          neededMs: 60_000,
          maxNeededBytes: 134_217_728,
        },
      },
    });
  });

  it("the key prefix may be empty", () => {
    expect(parseWorkerConfig({ ...redis, REDIS_KEY_PREFIX: "" }).store).toMatchObject({ keyPrefix: "" });
  });

  it("a webhook may go to this machine in plain HTTP if only this machine reaches the worker", () => {
    const url = "http://127.0.0.1:9000/";
    const environment = { SESSION_STORE: "embedded", LOOPBACK_ONLY: "1", WEBHOOK_URL: url, WEBHOOK_SECRET: OLD_SECRET };
    expect(parseWorkerConfig(environment).webhook).toMatchObject({ url });
  });

  it("a webhook's secret may be there before its URL", () => {
    expect(parseWorkerConfig({ SESSION_STORE: "embedded", WEBHOOK_SECRET: OLD_SECRET }).webhook).toBeNull();
  });

  it("every variable is parsed", () => {
    const config = parseWorkerConfig({
      ...redis,
      API_KEYS: ` ${OLD_KEY}, ${NEW_KEY} ,`,
      TRUSTED_PROXIES: "192.0.2.1, 2001:db8::/32",
      REDIS_KEY_PREFIX: "shop/1:",
      SESSION_TTL_SECONDS: "60",
      SESSION_MAX_SECONDS: 120,
      TOUCH_INTERVAL_SECONDS: "0",
      MAX_SESSIONS_PER_USER: "3",
      SESSION_LIMIT_POLICY: "evict-oldest",
      SESSION_LOG_ENTRIES: "10",
      REVOCATION_BOUND_MS: "200",
      WEBHOOK_URL: "https://shop.test/artoria?from=edge",
      WEBHOOK_SECRET: `${OLD_SECRET}  ${NEW_SECRET}`,
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
      ROOM_MAX_ROOMS_PER_SESSION: "7",
      ROOM_MAX_SEATS_PER_USER: "1",
      ROOM_MAX_UNJOINED: "2",
      ROOM_MAX_UNJOINED_PER_SESSION: "3",
      ROOM_ACK_TIMEOUT_SECONDS: "4",
      ROOM_MESSAGES_PER_SECOND: "5",
      ROOM_MESSAGE_BURST: "6",
      ROOM_BYTES_PER_SECOND: "7",
      ROOM_BYTE_BURST: "8",
      ROOM_DATAGRAMS_PER_SECOND: "9",
      ROOM_DATAGRAM_BURST: "10",
      ROOM_DATAGRAM_BYTES_PER_SECOND: "11",
      ROOM_DATAGRAM_BYTE_BURST: "12",
      ROOM_PACKETS_PER_SECOND: "13",
      ROOM_PACKET_BURST: "14",
      ROOM_LOG_MAX_BYTES: "67108864",
    });
    expect(config).toEqual({
      apiKeys: [OLD_KEY, NEW_KEY],
      trustedProxies: [
        { address: 0xffffc0000201n, prefixBits: 128 },
        { address: 0x2001_0db8_0000_0000_0000_0000_0000_0000n, prefixBits: 32 },
      ],
      store: { kind: "redis", url: "https://redis.test", token: redis.UPSTASH_REDIS_REST_TOKEN, keyPrefix: "shop/1:" },
      policy: {
        idleMs: 60_000,
        maxMs: 120_000,
        touchIntervalMs: 0,
        maxSessionsPerUser: 3,
        limitPolicy: "evict-oldest",
      },
      logEntries: 10,
      revocationBoundMs: 200,
      webhook: {
        url: "https://shop.test/artoria?from=edge",
        secrets: [new Uint8Array(24).fill(1), new Uint8Array(64).fill(2)],
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
      maxRoomsPerSession: 7,
      room: {
        historyMessages: 0,
        maxMembers: 10,
        maxSeatsPerUser: 1,
        maxUnjoined: 2,
        maxUnjoinedPerSession: 3,
        ackTimeoutMs: 4000,
        sender: {
          messages: { perSecond: 5, burst: 6 },
          bytes: { perSecond: 7, burst: 8 },
          datagrams: { perSecond: 9, burst: 10 },
          datagramBytes: { perSecond: 11, burst: 12 },
          packets: { perSecond: 13, burst: 14 },
        },
        log: {
          maxEntries: 10_000,
          maxBytes: 16_777_216,
          maxAgeMs: 3_600_000,
          neededMs: 60_000,
          maxNeededBytes: 67_108_864,
        },
      },
    });
  });

  it.each<readonly [name: string, environment: object]>([
    ["SESSION_STORE", {}],
    ["SESSION_STORE", { SESSION_STORE: "memcached" }],
    ["UPSTASH_REDIS_REST_URL", { SESSION_STORE: "redis", UPSTASH_REDIS_REST_TOKEN: redis.UPSTASH_REDIS_REST_TOKEN }],
    ["UPSTASH_REDIS_REST_URL", { ...redis, UPSTASH_REDIS_REST_URL: "redis://redis.test" }],
    ["UPSTASH_REDIS_REST_TOKEN", { ...redis, UPSTASH_REDIS_REST_TOKEN: undefined }],
    ["REDIS_KEY_PREFIX", { ...redis, REDIS_KEY_PREFIX: "a*" }],
    ["REDIS_KEY_PREFIX", { ...redis, REDIS_KEY_PREFIX: "two words:" }],
    ["REDIS_KEY_PREFIX", { ...redis, REDIS_KEY_PREFIX: "x".repeat(65) }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "0" }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "" }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "30m" }],
    ["SESSION_TTL_SECONDS", { ...redis, SESSION_TTL_SECONDS: "86401" }],
    ["TOUCH_INTERVAL_SECONDS", { ...redis, TOUCH_INTERVAL_SECONDS: "-1" }],
    ["MAX_SESSIONS_PER_USER", { ...redis, MAX_SESSIONS_PER_USER: "1.5" }],
    ["SESSION_LIMIT_POLICY", { ...redis, SESSION_LIMIT_POLICY: "newest" }],
    ["SESSION_LOG_ENTRIES", { ...redis, SESSION_LOG_ENTRIES: "9" }],
    ["REVOCATION_BOUND_MS", { ...redis, REVOCATION_BOUND_MS: "199" }],
    ["REVOCATION_BOUND_MS", { ...redis, REVOCATION_BOUND_MS: "60001" }],
    ["WEB_GRANTS.1", { ...redis, WEB_GRANTS: "room:*,a*b" }],
    ["WEB_GRANTS", { ...redis, WEB_GRANTS: Array(65).fill("a").join(",") }],
    ...[
      "",
      "https://",
      "shop.test",
      "ftp://shop.test",
      "http://shop.test",
      "http://127.0.0.1:9000",
      "https://user@secret.test",
      "https://user:secret@shop.test",
      "https://shop.test/#secret",
      "https://shop.test/a b",
    ].map((url) => ["WEBHOOK_URL", { ...redis, WEBHOOK_URL: url, WEBHOOK_SECRET: NEW_SECRET }] as const),
    ["WEBHOOK_URL", { ...redis, LOOPBACK_ONLY: "1", WEBHOOK_URL: "http://10.0.0.1", WEBHOOK_SECRET: NEW_SECRET }],
    ["WEBHOOK_SECRET", { ...redis, WEBHOOK_URL: "https://shop.test" }],
    ["WEBHOOK_SECRET", { ...redis, WEBHOOK_SECRET: " " }],
    ["WEBHOOK_SECRET", { ...redis, WEBHOOK_SECRET: Array(5).fill(NEW_SECRET).join(" ") }],
    ...[
      "secret",
      "whsec_",
      "whsk_secret",
      `${NEW_SECRET}\n`,
      "whsec_secret!",
      webhookSecret(23),
      webhookSecret(65),
    ].map((wrong) => ["WEBHOOK_SECRET.1", { ...redis, WEBHOOK_SECRET: `${OLD_SECRET} ${wrong}` }] as const),
    ["SIGNUP", { ...redis, SIGNUP: "yes" }],
    ["LOGIN_TRIES_PER_ACCOUNT", { ...redis, LOGIN_TRIES_PER_ACCOUNT: "0" }],
    ["ROOM_HISTORY_MESSAGES", { ...redis, ROOM_HISTORY_MESSAGES: "all" }],
    ["ROOM_MAX_MEMBERS", { ...redis, ROOM_MAX_MEMBERS: "0" }],
    ["ROOM_MESSAGES_PER_SECOND", { ...redis, ROOM_MESSAGES_PER_SECOND: "0" }],
    ["ROOM_LOG_MAX_BYTES", { ...redis, ROOM_LOG_MAX_BYTES: "1000000" }],
  ])("a wrong %s is refused by name, without its value", (name, environment) => {
    expect(() => parseWorkerConfig(environment)).toThrow(new RegExp(`^${name}: .*(allowed|needed)`));
    expect(() => parseWorkerConfig(environment)).not.toThrow(/secret|(redis|shop)\.test|AAAA/);
  });
});
