import { beforeAll, describe, expect, it } from "vitest";
import { parseBridgeConfig } from "../../tcp-bridge/config.ts";
import { type Certificate, selfSigned } from "../support/peers/certificates.ts";

const needed = { EDGE_URL: "https://edge.example/", API_KEY: "key-1-of-32-characters-or-longer" };

let pair: { readonly PLAYER_TLS_CERT: string; readonly PLAYER_TLS_KEY: string };
let certificate: Certificate;
beforeAll(async () => {
  certificate = await selfSigned("localhost");
  pair = { PLAYER_TLS_CERT: certificate.cert, PLAYER_TLS_KEY: certificate.key };
});

function playerPort(environment: Record<string, string>) {
  return parseBridgeConfig({ ...needed, ...environment }).player;
}

describe("the player port's configuration", () => {
  it("there is no player port without a certificate, and with one it has the documented defaults", () => {
    expect(playerPort({})).toBeUndefined();
    expect(playerPort(pair)).toEqual({
      endpoint: {
        host: "127.0.0.1",
        port: 7001,
        tls: { cert: certificate.cert, key: certificate.key, minVersion: "TLSv1.3" },
      },
      limits: {
        maxConnections: 10_000,
        maxConnectionsPerAddress: 1_000,
        joinMs: 5_000,
        packetTimeoutMs: 10_000,
        idleMs: 30_000,
        maxUnreadBytes: 1_048_576,
        writeStallTimeoutMs: 30_000,
        maxFailedJoinsPerMinute: 60,
        maxAskedJoinsPerAddress: 32,
        failedJoinDelayMs: 3_000,
        edgeDeadlineMs: 5_000,
        maxEdgeBytes: 262_144,
      },
    });
  });

  it("the old names of renamed variables are accepted", () => {
    const old = { PLAYER_HALF_SENT_MS: "1000", PLAYER_UNREAD_MS: "2000" };
    expect(playerPort({ ...pair, ...old })?.limits).toMatchObject({ packetTimeoutMs: 1000, writeStallTimeoutMs: 2000 });
  });

  it("the player port listens on the bridge's host, or on its own", () => {
    const open = { ...pair, BRIDGE_HOST: "0.0.0.0", BRIDGE_ALLOW_PLAINTEXT: "1", BRIDGE_ALLOW_ANYONE: "1" };
    expect(playerPort(open)?.endpoint.host).toBe("0.0.0.0");
    expect(playerPort({ ...pair, PLAYER_HOST: "192.0.2.1" })?.endpoint.host).toBe("192.0.2.1");
  });

  it.each([
    ["PLAYER_PORT: needed with it are PLAYER_TLS_CERT and PLAYER_TLS_KEY", () => ({ PLAYER_PORT: "7001" })],
    ["PLAYER_TLS_KEY", () => ({ PLAYER_TLS_CERT: pair.PLAYER_TLS_CERT })],
    ["PLAYER_TLS_CERT", () => ({ PLAYER_TLS_KEY: pair.PLAYER_TLS_KEY })],
    ["PLAYER_TLS_CERT", () => ({ ...pair, PLAYER_TLS_KEY: pair.PLAYER_TLS_CERT })],
    ["PLAYER_PORT", () => ({ ...pair, PLAYER_PORT: "65536" })],
    ["PLAYER_HOST", () => ({ ...pair, PLAYER_HOST: "two hosts" })],
    ["PLAYER_JOIN_MS", () => ({ ...pair, PLAYER_JOIN_MS: "5s" })],
  ])("stops the start with %s", (message, environment) => {
    expect(() => playerPort(environment())).toThrow(new RegExp(`^${message}`));
  });
});
