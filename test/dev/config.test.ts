import { describe, expect, it } from "vitest";
import { parseStackConfig } from "../../dev/config.ts";

describe("parseStackConfig", () => {
  it("has the documented defaults, an empty variable counting as none", () => {
    expect(parseStackConfig({ REDIS_URL: "", EDGE_PORT: "" })).toEqual({
      edgePort: 8787,
      bridgeHost: "127.0.0.1",
      bridgePort: 7000,
      playerHost: "127.0.0.1",
      playerPort: 7001,
      metricsPort: 7002,
      apiKey: "dev-key",
      redisUrl: undefined,
      redisRestPort: 8079,
      stateDir: undefined,
      isLoopbackOnly: true,
      workerVariables: { API_KEYS: "dev-key" },
    });
  });

  it("lets the bridge show a key that the edge accepts", () => {
    expect(parseStackConfig({ API_KEYS: "next, old" })).toMatchObject({
      apiKey: "next",
      workerVariables: { API_KEYS: "next, old" },
    });
  });

  it("passes the worker's variables on", () => {
    const { workerVariables } = parseStackConfig({ SESSION_TTL_SECONDS: "60", UNRELATED: "1" });
    expect(workerVariables).toEqual({ API_KEYS: "dev-key", SESSION_TTL_SECONDS: "60" });
  });

  it.each([
    ["EDGE_PORT", "65536"],
    ["BRIDGE_PORT", "-1"],
    ["PLAYER_PORT", "tls"],
    ["METRICS_PORT", "http"],
    ["REDIS_REST_PORT", "80.5"],
    ["REDIS_URL", "http://127.0.0.1"],
  ])("refuses %s=%s by name", (name, value) => {
    expect(() => parseStackConfig({ [name]: value })).toThrow(new RegExp(`^${name}: allowed is`));
  });
});
