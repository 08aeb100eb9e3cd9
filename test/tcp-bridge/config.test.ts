import { describe, expect, it } from "vitest";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";

const needed = { EDGE_URL: "https://edge.example/", API_KEY: "key-1-of-32-characters-or-longer" };

function messageOf(environment: Record<string, string>): string {
  try {
    parseBridgeConfig(environment);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "accepted";
}

describe("the bridge's configuration", () => {
  it("all variables but EDGE_URL and API_KEY have the documented defaults", () => {
    expect(parseBridgeConfig(needed)).toEqual({
      game: { host: "127.0.0.1", port: 7000, serviceKeys: [] },
      gameLimits: {
        maxConnections: 10_000,
        maxConnectionsPerAddress: 1_000,
        firstByteMs: 600_000,
        packetTimeoutMs: 10_000,
        idleMs: 600_000,
        maxUnreadBytes: 1_048_576,
        writeStallTimeoutMs: 10_000,
        maxWaitingPackets: 2000,
        maxFailuresPerMinute: 10_000,
        maxWrongKeysPerMinute: 60,
        maxKnownSessions: 100_000,
      },
      metrics: { host: "127.0.0.1", port: 7002, maxConnections: 64, headersMs: 5_000, requestMs: 10_000 },
      edge: {
        url: new URL("https://edge.example/"),
        apiKey: needed.API_KEY,
        deadlineMs: 2000,
        maxBatchesInFlight: 4,
        maxPagesAtOnce: 4,
      },
      cache: { maxKeepMs: 30_000, maxSessions: 100_000 },
      drainMs: 0,
      logLevel: "info",
      warnings: [],
    });
  });

  it("no session is kept with BRIDGE_CACHE_SESSIONS=0", () => {
    expect(parseBridgeConfig({ ...needed, BRIDGE_CACHE_SESSIONS: "0" })).not.toHaveProperty("cache");
  });

  it("a connection may be silent before its first byte for as long as later on loopback, and for 10 s beyond it", () => {
    const firstByteMs = (environment: Record<string, string>) =>
      parseBridgeConfig({ ...needed, ...environment }).gameLimits.firstByteMs;
    const beyond = { BRIDGE_HOST: "0.0.0.0", BRIDGE_ALLOW_PLAINTEXT: "1", BRIDGE_ALLOW_ANYONE: "1" };
    expect(firstByteMs({ BRIDGE_IDLE_MS: "700000" })).toBe(700_000);
    expect(firstByteMs({ BRIDGE_FIRST_BYTE_MS: "10000" })).toBe(10_000);
    expect(firstByteMs(beyond)).toBe(10_000);
    expect(firstByteMs({ ...beyond, BRIDGE_FIRST_BYTE_MS: "30000" })).toBe(30_000);
  });

  it.each([
    ["EDGE_URL", {}],
    ["EDGE_URL", { EDGE_URL: "edge.example" }],
    ["EDGE_URL", { EDGE_URL: "ftp://edge.example" }],
    ["EDGE_URL", { EDGE_URL: "https://user:secret@edge.example" }],
    ["API_KEY", { EDGE_URL: needed.EDGE_URL }],
    ["API_KEY", { ...needed, API_KEY: "two keys" }],
    ["BRIDGE_PORT", { ...needed, BRIDGE_PORT: "70000" }],
    ["BRIDGE_PORT", { ...needed, BRIDGE_PORT: "" }],
    ["METRICS_PORT", { ...needed, METRICS_PORT: "-1" }],
    ["BRIDGE_MAX_CONNECTIONS", { ...needed, BRIDGE_MAX_CONNECTIONS: "0" }],
    ["BRIDGE_IDLE_MS", { ...needed, BRIDGE_IDLE_MS: "1e3" }],
    ["BRIDGE_ALLOW_PLAINTEXT", { ...needed, BRIDGE_ALLOW_PLAINTEXT: "yes" }],
    ["LOG_LEVEL", { ...needed, LOG_LEVEL: "loud" }],
    ["BRIDGE_TLS_KEY", { ...needed, BRIDGE_TLS_CERT: "-----BEGIN CERTIFICATE-----" }],
    ["BRIDGE_TLS_CERT", { ...needed, BRIDGE_TLS_KEY: "-----BEGIN PRIVATE KEY-----" }],
    ["BRIDGE_TLS_CERT", { ...needed, BRIDGE_TLS_CERT: "/nowhere/cert.pem" }],
    ["BRIDGE_TLS_CERT", { ...needed, BRIDGE_TLS_CERT: "-----BEGIN x", BRIDGE_TLS_KEY: "-----BEGIN y" }],
  ])("names %s if it is not allowed: %j", (name, environment) => {
    const message = messageOf(environment);
    expect(message.startsWith(`${name}`)).toBe(true);
    expect(message).not.toContain("\n");
    expect(message).not.toContain("secret");
    expect(message).not.toContain("two keys");
  });

  it("all variables that are wrong are named together", () => {
    expect(messageOf({ ...needed, BRIDGE_PORT: "-1", LOG_LEVEL: "loud", API_KEY: "" })).toMatch(
      /^API_KEY: needed .*; BRIDGE_PORT: allowed .*; LOG_LEVEL: allowed /,
    );
  });

  it("the old name of a renamed variable is accepted with a warning, unless the new one is set", () => {
    const old = { BRIDGE_HALF_SENT_MS: "1000", BRIDGE_UNREAD_MS: "2000" };
    const { gameLimits, warnings } = parseBridgeConfig({ ...needed, ...old });
    expect(gameLimits).toMatchObject({ packetTimeoutMs: 1000, writeStallTimeoutMs: 2000 });
    expect(warnings).toEqual([
      expect.stringMatching(/^BRIDGE_HALF_SENT_MS is called BRIDGE_PACKET_TIMEOUT_MS now/),
      expect.stringMatching(/^BRIDGE_UNREAD_MS is called BRIDGE_WRITE_STALL_TIMEOUT_MS now/),
    ]);
    const both = parseBridgeConfig({ ...needed, ...old, BRIDGE_PACKET_TIMEOUT_MS: "3000" });
    expect(both.gameLimits.packetTimeoutMs).toBe(3000);
  });

  it.each(["0.0.0.0", "::", "192.168.0.1", "bridge.example"])(
    "refuses plaintext on %s unless it is asked for",
    (host) => {
      expect(messageOf({ ...needed, BRIDGE_HOST: host })).toMatch(/^BRIDGE_HOST: .*BRIDGE_ALLOW_PLAINTEXT=1/);
      const anyone = { ...needed, BRIDGE_HOST: host, BRIDGE_ALLOW_ANYONE: "1" };
      expect(messageOf({ ...anyone, BRIDGE_ALLOW_PLAINTEXT: "1" })).toBe("accepted");
    },
  );

  it.each(["127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"])("allows plaintext on %s", (host) => {
    expect(messageOf({ ...needed, BRIDGE_HOST: host })).toBe("accepted");
  });

  describe("with proxies before its ports", () => {
    const proxied = { ...needed, BRIDGE_PROXY_PROTOCOL: "1", TRUSTED_PROXIES: "127.0.0.1, 10.0.0.0/8" };
    const allowed = { BRIDGE_ALLOW_ANYONE: "1", BRIDGE_ALLOW_PLAINTEXT: "1", CHECK_ALLOW_PLAINTEXT: "1" };
    const proxiesOf = (environment: Record<string, string>) => {
      const { game, check } = parseBridgeConfig({ ...proxied, ...allowed, CHECK_PORT: "0", ...environment });
      return [game.proxies?.length, check?.endpoint.proxies?.length];
    };

    it("trusts those that are named, at all ports or at some", () => {
      expect(proxiesOf({})).toEqual([2, 2]);
      expect(proxiesOf({ BRIDGE_PROXY_PROTOCOL: "player, game" })).toEqual([2, undefined]);
      expect(proxiesOf({ BRIDGE_PROXY_PROTOCOL: "0" })).toEqual([undefined, undefined]);
      expect(messageOf({ ...proxied, BRIDGE_PROXY_PROTOCOL: "web" })).toMatch(/^BRIDGE_PROXY_PROTOCOL: allowed is/);
    });

    it("needs their addresses", () => {
      expect(messageOf({ ...proxied, ...allowed, TRUSTED_PROXIES: "" })).toMatch(/^TRUSTED_PROXIES: needed/);
      expect(messageOf({ ...proxied, ...allowed, TRUSTED_PROXIES: "lb.example" })).toMatch(/^TRUSTED_PROXIES: allowed/);
    });

    it("takes nobody for a program of this machine, on loopback neither", () => {
      expect(messageOf(proxied)).toMatch(/^BRIDGE_PROXY_PROTOCOL: .*BRIDGE_ALLOW_PLAINTEXT=1/);
      expect(messageOf({ ...proxied, BRIDGE_ALLOW_PLAINTEXT: "1" })).toMatch(
        /^BRIDGE_PROXY_PROTOCOL: .*BRIDGE_ALLOW_ANYONE=1/,
      );
      expect(messageOf({ ...proxied, BRIDGE_PROXY_PROTOCOL: "check", CHECK_PORT: "0" })).toMatch(
        /^BRIDGE_PROXY_PROTOCOL: .*CHECK_ALLOW_PLAINTEXT=1/,
      );
      expect(messageOf({ ...proxied, BRIDGE_PROXY_PROTOCOL: "player" })).toBe("accepted");
      expect(parseBridgeConfig({ ...proxied, ...allowed }).gameLimits.firstByteMs).toBe(10_000);
    });
  });
});
