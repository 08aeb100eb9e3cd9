import * as v from "valibot";
import { isLoopbackHost } from "../protocol/loopback.ts";
import { AccessVariables, checkAccess } from "./access-variables.ts";
import { ConfigError } from "./config-error.ts";
import { DEFAULT_CONNECTION_LIMITS } from "./core/connection-limits.ts";
import type { GamePortConfig, GamePortLimits } from "./game/game-port.ts";
import type { MetricsServerConfig } from "./metrics/metrics-server.ts";
import type { PlayerPortConfig } from "./player/player-port.ts";
import { PlayerVariables, parsePlayerPort } from "./player-variables.ts";
import { parseTls } from "./tls-variables.ts";
import { wholeNumber } from "./whole-number.ts";

/**
 * What the bridge's variables say, parsed (docs/configuration.md). BRIDGE_TLS_CERT, BRIDGE_TLS_KEY, BRIDGE_TLS_CLIENT_CA,
 * PLAYER_TLS_CERT and PLAYER_TLS_KEY are each a file's path or the PEM text itself; the third makes TLS mutual.
 */
export interface BridgeConfig {
  readonly game: GamePortConfig;
  readonly gameLimits: GamePortLimits;
  /** Absent: no player port. */
  readonly player?: PlayerPortConfig;
  /** Plain HTTP, on the game port's host: it tells numbers, no session. */
  readonly metrics: MetricsServerConfig;
  readonly edge: {
    readonly url: URL;
    readonly apiKey: string;
    readonly deadlineMs: number;
    readonly maxBatchesInFlight: number;
  };
  readonly logLevel: string;
  /** What the operator has allowed and should not forget: logged at each start. */
  readonly warnings: readonly string[];
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** Game servers run older TLS stacks than players do; 1.2 is what RFC 9325 §3.1.1 still allows. */
const GAME_TLS_MIN_VERSION = "TLSv1.2";

const limits = DEFAULT_CONNECTION_LIMITS;

const Variables = v.object({
  BRIDGE_HOST: v.optional(v.pipe(v.string(), v.regex(/^\S+$/, "allowed is a host name or an IP address")), "127.0.0.1"),
  BRIDGE_PORT: wholeNumber(0, 65_535, 7000),
  METRICS_PORT: wholeNumber(0, 65_535, 7002),
  METRICS_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, 64),
  METRICS_HEADERS_MS: wholeNumber(1, 3_600_000, 5_000),
  METRICS_REQUEST_MS: wholeNumber(1, 3_600_000, 10_000),
  LOG_LEVEL: v.optional(v.picklist(LOG_LEVELS, `allowed is one of ${LOG_LEVELS.join(", ")}`), "info"),
  BRIDGE_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, limits.maxConnections),
  BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 1_000_000, limits.maxConnectionsPerAddress),
  BRIDGE_FIRST_BYTE_MS: wholeNumber(1, 3_600_000, 10_000),
  BRIDGE_HALF_SENT_MS: wholeNumber(1, 3_600_000, limits.packetTimeoutMs),
  BRIDGE_IDLE_MS: wholeNumber(1, 24 * 3_600_000, limits.idleMs),
  BRIDGE_MAX_UNREAD_BYTES: wholeNumber(1024, 2 ** 30, limits.maxUnreadBytes),
  BRIDGE_UNREAD_MS: wholeNumber(1, 3_600_000, limits.writeStallTimeoutMs),
  BRIDGE_MAX_WAITING_PACKETS: wholeNumber(1, 1_000_000, 2000),
  BRIDGE_MAX_FAILURES_PER_MINUTE: wholeNumber(1, 1_000_000_000, 10_000),
  BRIDGE_MAX_WRONG_KEYS_PER_MINUTE: wholeNumber(1, 1_000_000_000, 60),
  BRIDGE_EDGE_DEADLINE_MS: wholeNumber(100, 60_000, 2000),
  BRIDGE_MAX_BATCHES_IN_FLIGHT: wholeNumber(1, 256, 4),
  ...AccessVariables.entries,
  ...PlayerVariables.entries,
});

/**
 * Parses the environment.
 *
 * @throws ConfigError naming the first variable that is wrong
 */
export function parseBridgeConfig(environment: Readonly<Record<string, string | undefined>>): BridgeConfig {
  const parsed = v.safeParse(Variables, environment);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new ConfigError(`${v.getDotPath(issue) ?? "environment"}: ${issue.message}`);
  }
  const variables = parsed.output;
  const host = variables.BRIDGE_HOST;
  const names = { cert: "BRIDGE_TLS_CERT", key: "BRIDGE_TLS_KEY", clientCa: "BRIDGE_TLS_CLIENT_CA" };
  const tls = parseTls(environment, names, GAME_TLS_MIN_VERSION);
  const player = parsePlayerPort(environment, variables, host);
  const warnings = checkAccess({
    variables,
    gameHost: host,
    gameTls: tls,
    playerHost: player?.endpoint.host,
  });
  return {
    game: {
      host,
      port: variables.BRIDGE_PORT,
      ...(tls === undefined ? {} : { tls }),
      serviceKeys: variables.BRIDGE_SERVICE_KEYS,
    },
    gameLimits: {
      maxConnections: variables.BRIDGE_MAX_CONNECTIONS,
      maxConnectionsPerAddress: variables.BRIDGE_MAX_CONNECTIONS_PER_ADDRESS,
      firstByteMs: firstByteMs(environment, variables),
      packetTimeoutMs: variables.BRIDGE_HALF_SENT_MS,
      idleMs: variables.BRIDGE_IDLE_MS,
      maxUnreadBytes: variables.BRIDGE_MAX_UNREAD_BYTES,
      writeStallTimeoutMs: variables.BRIDGE_UNREAD_MS,
      maxWaitingPackets: variables.BRIDGE_MAX_WAITING_PACKETS,
      maxFailuresPerMinute: variables.BRIDGE_MAX_FAILURES_PER_MINUTE,
      maxWrongKeysPerMinute: variables.BRIDGE_MAX_WRONG_KEYS_PER_MINUTE,
    },
    ...(player === undefined ? {} : { player }),
    metrics: {
      host,
      port: variables.METRICS_PORT,
      maxConnections: variables.METRICS_MAX_CONNECTIONS,
      headersMs: variables.METRICS_HEADERS_MS,
      requestMs: variables.METRICS_REQUEST_MS,
    },
    edge: {
      url: new URL(variables.EDGE_URL),
      apiKey: variables.API_KEY,
      deadlineMs: variables.BRIDGE_EDGE_DEADLINE_MS,
      maxBatchesInFlight: variables.BRIDGE_MAX_BATCHES_IN_FLIGHT,
    },
    logLevel: variables.LOG_LEVEL,
    warnings,
  };
}

/** A program of this machine may open its connections before it needs them: its silence fills no port (Admission). */
function firstByteMs(
  environment: Readonly<Record<string, string | undefined>>,
  { BRIDGE_HOST, BRIDGE_FIRST_BYTE_MS, BRIDGE_IDLE_MS }: v.InferOutput<typeof Variables>,
): number {
  const { BRIDGE_FIRST_BYTE_MS: chosen } = environment;
  return chosen === undefined && isLoopbackHost(BRIDGE_HOST) ? BRIDGE_IDLE_MS : BRIDGE_FIRST_BYTE_MS;
}
