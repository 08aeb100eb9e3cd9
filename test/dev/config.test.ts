import { describe, expect, it } from "vitest";
import { checkParts, parseStackConfig } from "../../dev/config.ts";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";

describe("parseStackConfig", () => {
  it("all variables have the documented defaults, and an empty variable counts as unset", () => {
    expect(parseStackConfig({ REDIS_URL: "", EDGE_PORT: "" })).toEqual({
      edgePort: 8787,
      bridgeHost: "127.0.0.1",
      bridgePort: 7000,
      playerHost: "127.0.0.1",
      playerPort: 7001,
      metricsPort: 7002,
      checkHost: "127.0.0.1",
      checkPort: 7003,
      apiKey: "dev-key",
      redisUrl: undefined,
      redisRestPort: 8079,
      stateDir: undefined,
      trustedCertificates: [],
      isLoopbackOnly: true,
      workerVariables: { API_KEYS: "dev-key" },
      bridgeVariables: {
        LOG_LEVEL: "warn",
        API_KEY: "dev-key",
        BRIDGE_HOST: "127.0.0.1",
        BRIDGE_PORT: "7000",
        PLAYER_HOST: "127.0.0.1",
        PLAYER_PORT: "7001",
        METRICS_PORT: "7002",
        CHECK_HOST: "127.0.0.1",
        CHECK_PORT: "7003",
      },
    });
  });

  it("the bridge shows a key that the edge accepts", () => {
    expect(parseStackConfig({ API_KEYS: "next, old" })).toMatchObject({
      apiKey: "next",
      workerVariables: { API_KEYS: "next, old" },
    });
  });

  it("the worker's variables are passed on", () => {
    const { workerVariables } = parseStackConfig({ SESSION_TTL_SECONDS: "60", UNRELATED: "1" });
    expect(workerVariables).toEqual({ API_KEYS: "dev-key", SESSION_TTL_SECONDS: "60" });
  });

  it("the bridge's variables are passed on, also under old names, but not EDGE_URL", () => {
    const { bridgeVariables } = parseStackConfig({ BRIDGE_IDLE_MS: "60", BRIDGE_HALF_SENT_MS: "70", EDGE_URL: "x" });
    expect(bridgeVariables).toMatchObject({ BRIDGE_IDLE_MS: "60", BRIDGE_HALF_SENT_MS: "70" });
    expect(bridgeVariables).not.toHaveProperty("EDGE_URL");
    const { PLAYER_PORT: _, ...withoutPlayers } = bridgeVariables;
    const { gameLimits } = parseBridgeConfig({ ...withoutPlayers, EDGE_URL: "http://127.0.0.1" });
    expect(gameLimits.packetTimeoutMs).toBe(70);
  });

  it.each([
    ["EDGE_PORT", "65536"],
    ["BRIDGE_PORT", "-1"],
    ["PLAYER_PORT", "tls"],
    ["METRICS_PORT", "http"],
    ["CHECK_PORT", "check"],
    ["REDIS_REST_PORT", "80.5"],
    ["REDIS_URL", "http://127.0.0.1"],
  ])("%s=%s is refused by name", (name, value) => {
    expect(() => parseStackConfig({ [name]: value })).toThrow(new RegExp(`^${name}: allowed is`));
  });
});

describe("checkParts", () => {
  it.each([
    ["SESSION_TTL_SECONDS", "0"],
    ["ROOM_MAX_MEMBERS", "many"],
    ["PASSWORD_QUEUE", "0"],
    ["BRIDGE_IDLE_MS", "1h"],
    ["PLAYER_TLS_CERT", "/nowhere.pem"],
    ["LOG_LEVEL", "loud"],
    ["REDIS_URL", "redis://127.0.0.1/zero"],
  ])("%s=%s is refused by name before any part is started", (name, value) => {
    const config = parseStackConfig({ [name]: value });
    expect(() => checkParts(config)).toThrow(new RegExp(`^${name}: allowed is`));
  });

  it("the defaults are accepted", () => {
    expect(() => checkParts(parseStackConfig({}))).not.toThrow();
  });
});
