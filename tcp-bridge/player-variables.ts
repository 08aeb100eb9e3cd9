import * as v from "valibot";
import { ConfigError } from "./config-error.ts";
import { DEFAULT_PLAYER_LIMITS } from "./player/player-limits.ts";
import type { PlayerPortConfig } from "./player/player-port.ts";
import { parseTls } from "./tls-variables.ts";
import { wholeNumber } from "./whole-number.ts";

const limits = DEFAULT_PLAYER_LIMITS;

/** The variables of the player port. */
export const PlayerVariables = v.object({
  PLAYER_HOST: v.optional(v.pipe(v.string(), v.regex(/^\S+$/, "allowed is a host name or an IP address"))),
  PLAYER_PORT: wholeNumber(0, 65_535, 7001),
  PLAYER_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, limits.maxConnections),
  PLAYER_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 1_000_000, limits.maxConnectionsPerAddress),
  PLAYER_JOIN_MS: wholeNumber(1, 3_600_000, limits.joinMs),
  PLAYER_HALF_SENT_MS: wholeNumber(1, 3_600_000, limits.packetTimeoutMs),
  PLAYER_IDLE_MS: wholeNumber(1, 24 * 3_600_000, limits.idleMs),
  PLAYER_MAX_UNREAD_BYTES: wholeNumber(1024, 2 ** 30, limits.maxUnreadBytes),
  PLAYER_UNREAD_MS: wholeNumber(1, 3_600_000, limits.writeStallTimeoutMs),
  PLAYER_MAX_FAILED_JOINS_PER_MINUTE: wholeNumber(1, 1_000_000_000, limits.maxFailedJoinsPerMinute),
  PLAYER_MAX_ASKED_JOINS_PER_ADDRESS: wholeNumber(1, 1_000_000, limits.maxAskedJoinsPerAddress),
  PLAYER_FAILED_JOIN_DELAY_MS: wholeNumber(1, 60_000, limits.failedJoinDelayMs),
  PLAYER_EDGE_DEADLINE_MS: wholeNumber(100, 60_000, limits.edgeDeadlineMs),
  PLAYER_MAX_EDGE_BYTES: wholeNumber(1024, 2 ** 30, limits.maxEdgeBytes),
});

/** Players choose what they speak TLS with: nothing older is accepted (docs/wire-protocol.md). */
const PLAYER_TLS_VERSION = "TLSv1.3";

/**
 * The player port, undefined without PLAYER_TLS_CERT and PLAYER_TLS_KEY: no player is served in the clear.
 *
 * @throws ConfigError half of the pair, what is not PEM, or a PLAYER_PORT that would not be opened
 */
export function parsePlayerPort(
  environment: Readonly<Record<string, string | undefined>>,
  variables: v.InferOutput<typeof PlayerVariables>,
  defaultHost: string,
): PlayerPortConfig | undefined {
  const tls = parseTls(environment, { cert: "PLAYER_TLS_CERT", key: "PLAYER_TLS_KEY" }, PLAYER_TLS_VERSION);
  if (tls === undefined) {
    if (environment["PLAYER_PORT"] === undefined) return undefined;
    throw new ConfigError("PLAYER_PORT: needed with it are PLAYER_TLS_CERT and PLAYER_TLS_KEY");
  }
  return {
    endpoint: { host: variables.PLAYER_HOST ?? defaultHost, port: variables.PLAYER_PORT, tls },
    limits: {
      maxConnections: variables.PLAYER_MAX_CONNECTIONS,
      maxConnectionsPerAddress: variables.PLAYER_MAX_CONNECTIONS_PER_ADDRESS,
      joinMs: variables.PLAYER_JOIN_MS,
      packetTimeoutMs: variables.PLAYER_HALF_SENT_MS,
      idleMs: variables.PLAYER_IDLE_MS,
      maxUnreadBytes: variables.PLAYER_MAX_UNREAD_BYTES,
      writeStallTimeoutMs: variables.PLAYER_UNREAD_MS,
      maxFailedJoinsPerMinute: variables.PLAYER_MAX_FAILED_JOINS_PER_MINUTE,
      maxAskedJoinsPerAddress: variables.PLAYER_MAX_ASKED_JOINS_PER_ADDRESS,
      failedJoinDelayMs: variables.PLAYER_FAILED_JOIN_DELAY_MS,
      edgeDeadlineMs: variables.PLAYER_EDGE_DEADLINE_MS,
      maxEdgeBytes: variables.PLAYER_MAX_EDGE_BYTES,
    },
  };
}
