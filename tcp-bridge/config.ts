import * as v from "valibot";
import {
  ConfigError,
  type Environment,
  Host,
  optionalPort,
  parseEnvironment,
  port,
  renamingWarnings,
  wholeNumber,
} from "../config/environment.ts";
import { isLoopbackHost } from "../config/loopback.ts";
import { MAX_KEEP_MS } from "../protocol/leases/session-memory.ts";
import {
  AccessVariables,
  checkAccess,
  type ProxiedPort,
  parseCheckTls,
  parseGameTls,
  parsePlayerTls,
  parseProxies,
} from "./access-config.ts";
import type { CheckPortConfig } from "./check/check-port.ts";
import { DEFAULT_CONNECTION_LIMITS } from "./core/connection-limits.ts";
import type { Endpoint } from "./core/listener.ts";
import type { GamePortConfig, GamePortLimits } from "./game/game-port.ts";
import type { MetricsServerConfig } from "./metrics/metrics-server.ts";
import { DEFAULT_PLAYER_LIMITS } from "./player/player-limits.ts";
import type { PlayerPortConfig } from "./player/player-port.ts";

/** The bridge's variables, parsed (docs/configuration.md). */
export interface BridgeConfig {
  readonly game: GamePortConfig;
  readonly gameLimits: GamePortLimits;
  /** Absent: no player port. */
  readonly player?: PlayerPortConfig;
  /** Absent: no check port. */
  readonly check?: CheckPortConfig;
  /** Plain HTTP, on the game port's host: it shows numbers, no session. */
  readonly metrics: MetricsServerConfig;
  readonly edge: {
    readonly url: URL;
    readonly apiKey: string;
    readonly deadlineMs: number;
    readonly maxBatchesInFlight: number;
    /** Pages of the session log that are asked for at once, for watches that catch up. */
    readonly maxPagesAtOnce: number;
  };
  /** What the bridge may keep of sessions; absent: nothing, the edge answers everything. */
  readonly cache?: {
    readonly maxKeepMs: number;
    readonly maxSessions: number;
  };
  /** For how long it serves on, and says on `/readyz` that it drains, before it stops. */
  readonly drainMs: number;
  readonly logLevel: string;
  /** What the operator has allowed and should not forget: logged at each start. */
  readonly warnings: readonly string[];
}

/** Longer than a load balancer needs to find out. */
const MAX_DRAIN_MS = 30_000;

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

const MAX_TIMEOUT_MS = 3_600_000;
const MAX_IDLE_MS = 24 * 3_600_000;

const game = DEFAULT_CONNECTION_LIMITS;
const player = DEFAULT_PLAYER_LIMITS;

/** Every variable that the bridge reads. */
export const BridgeVariables = v.object({
  ...AccessVariables.entries,
  BRIDGE_HOST: v.optional(Host, "127.0.0.1"),
  BRIDGE_PORT: port(7000),
  METRICS_PORT: port(7002),
  METRICS_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, 64),
  METRICS_HEADERS_MS: wholeNumber(1, MAX_TIMEOUT_MS, 5_000),
  METRICS_REQUEST_MS: wholeNumber(1, MAX_TIMEOUT_MS, 10_000),
  BRIDGE_DRAIN_MS: wholeNumber(0, MAX_DRAIN_MS, 0),
  LOG_LEVEL: v.optional(v.picklist(LOG_LEVELS, `allowed is one of ${LOG_LEVELS.join(", ")}`), "info"),
  BRIDGE_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, game.maxConnections),
  BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 1_000_000, game.maxConnectionsPerAddress),
  BRIDGE_FIRST_BYTE_MS: wholeNumber(1, MAX_TIMEOUT_MS, 10_000),
  BRIDGE_PACKET_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS, game.packetTimeoutMs),
  BRIDGE_IDLE_MS: wholeNumber(1, MAX_IDLE_MS, game.idleMs),
  BRIDGE_MAX_UNREAD_BYTES: wholeNumber(1024, 2 ** 30, game.maxUnreadBytes),
  BRIDGE_WRITE_STALL_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS, game.writeStallTimeoutMs),
  BRIDGE_MAX_WAITING_PACKETS: wholeNumber(1, 1_000_000, 2000),
  BRIDGE_MAX_FAILURES_PER_MINUTE: wholeNumber(1, 1_000_000_000, 10_000),
  BRIDGE_MAX_WRONG_KEYS_PER_MINUTE: wholeNumber(1, 1_000_000_000, 60),
  BRIDGE_MAX_KNOWN_SESSIONS: wholeNumber(1, 10_000_000, 100_000),
  BRIDGE_MAX_WATCH_PAGES: wholeNumber(1, 64, 4),
  BRIDGE_EDGE_DEADLINE_MS: wholeNumber(100, 60_000, 2000),
  BRIDGE_MAX_BATCHES_IN_FLIGHT: wholeNumber(1, 256, 4),
  BRIDGE_CACHE_MS: wholeNumber(1_000, MAX_KEEP_MS, 30_000),
  BRIDGE_CACHE_SESSIONS: wholeNumber(0, 10_000_000, 100_000),
  PLAYER_HOST: v.optional(Host),
  PLAYER_PORT: port(7001),
  PLAYER_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, player.maxConnections),
  PLAYER_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 1_000_000, player.maxConnectionsPerAddress),
  PLAYER_JOIN_MS: wholeNumber(1, MAX_TIMEOUT_MS, player.joinMs),
  PLAYER_PACKET_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS, player.packetTimeoutMs),
  PLAYER_IDLE_MS: wholeNumber(1, MAX_IDLE_MS, player.idleMs),
  PLAYER_MAX_UNREAD_BYTES: wholeNumber(1024, 2 ** 30, player.maxUnreadBytes),
  PLAYER_WRITE_STALL_TIMEOUT_MS: wholeNumber(1, MAX_TIMEOUT_MS, player.writeStallTimeoutMs),
  PLAYER_MAX_FAILED_JOINS_PER_MINUTE: wholeNumber(1, 1_000_000_000, player.maxFailedJoinsPerMinute),
  PLAYER_MAX_ASKED_JOINS_PER_ADDRESS: wholeNumber(1, 1_000_000, player.maxAskedJoinsPerAddress),
  PLAYER_FAILED_JOIN_DELAY_MS: wholeNumber(1, 60_000, player.failedJoinDelayMs),
  PLAYER_EDGE_DEADLINE_MS: wholeNumber(100, 60_000, player.edgeDeadlineMs),
  PLAYER_MAX_EDGE_BYTES: wholeNumber(1024, 2 ** 30, player.maxEdgeBytes),
  CHECK_HOST: v.optional(Host, "127.0.0.1"),
  CHECK_PORT: optionalPort(),
  CHECK_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, 10_000),
  CHECK_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 1_000_000, 1_000),
  CHECK_HEADERS_MS: wholeNumber(1, MAX_TIMEOUT_MS, 5_000),
  CHECK_REQUEST_MS: wholeNumber(1, MAX_TIMEOUT_MS, 10_000),
  CHECK_IDLE_MS: wholeNumber(1, MAX_IDLE_MS, 10 * 60_000),
  CHECK_MAX_FAILURES_PER_MINUTE: wholeNumber(1, 1_000_000_000, 10_000),
  CHECK_FAILURE_DELAY_MS: wholeNumber(1, 60_000, 1_000),
});

type BridgeValues = v.InferOutput<typeof BridgeVariables>;

/** The old names stay for one version. */
export const RENAMED_BRIDGE_VARIABLES = {
  BRIDGE_HALF_SENT_MS: "BRIDGE_PACKET_TIMEOUT_MS",
  BRIDGE_UNREAD_MS: "BRIDGE_WRITE_STALL_TIMEOUT_MS",
  PLAYER_HALF_SENT_MS: "PLAYER_PACKET_TIMEOUT_MS",
  PLAYER_UNREAD_MS: "PLAYER_WRITE_STALL_TIMEOUT_MS",
};

/**
 * Parses the environment.
 *
 * @throws ConfigError naming the variables that are wrong
 */
export function parseBridgeConfig(environment: Environment): BridgeConfig {
  const variables = parseEnvironment(BridgeVariables, environment, RENAMED_BRIDGE_VARIABLES);
  const host = variables.BRIDGE_HOST;
  const gameTls = parseGameTls(variables);
  const playerPort = parsePlayerPort(environment, variables);
  const checkPort = parseCheckPort(variables);
  const warnings = checkAccess({
    variables,
    gameHost: host,
    gameTls,
    playerHost: playerPort?.endpoint.host,
    checkHost: checkPort?.endpoint.host,
    checkTls: checkPort?.endpoint.tls,
  });
  return {
    game: {
      host,
      port: variables.BRIDGE_PORT,
      ...(gameTls === undefined ? {} : { tls: gameTls }),
      ...proxiesOf("game", variables),
      serviceKeys: variables.BRIDGE_SERVICE_KEYS,
    },
    gameLimits: {
      maxConnections: variables.BRIDGE_MAX_CONNECTIONS,
      maxConnectionsPerAddress: variables.BRIDGE_MAX_CONNECTIONS_PER_ADDRESS,
      firstByteMs: firstByteMs(environment, variables),
      packetTimeoutMs: variables.BRIDGE_PACKET_TIMEOUT_MS,
      idleMs: variables.BRIDGE_IDLE_MS,
      maxUnreadBytes: variables.BRIDGE_MAX_UNREAD_BYTES,
      writeStallTimeoutMs: variables.BRIDGE_WRITE_STALL_TIMEOUT_MS,
      maxWaitingPackets: variables.BRIDGE_MAX_WAITING_PACKETS,
      maxFailuresPerMinute: variables.BRIDGE_MAX_FAILURES_PER_MINUTE,
      maxWrongKeysPerMinute: variables.BRIDGE_MAX_WRONG_KEYS_PER_MINUTE,
      maxKnownSessions: variables.BRIDGE_MAX_KNOWN_SESSIONS,
    },
    ...(playerPort === undefined ? {} : { player: playerPort }),
    ...(checkPort === undefined ? {} : { check: checkPort }),
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
      maxPagesAtOnce: variables.BRIDGE_MAX_WATCH_PAGES,
    },
    ...(variables.BRIDGE_CACHE_SESSIONS > 0 && {
      cache: { maxKeepMs: variables.BRIDGE_CACHE_MS, maxSessions: variables.BRIDGE_CACHE_SESSIONS },
    }),
    drainMs: variables.BRIDGE_DRAIN_MS,
    logLevel: variables.LOG_LEVEL,
    warnings: [...warnings, ...renamingWarnings(environment, RENAMED_BRIDGE_VARIABLES)],
  };
}

/** On loopback a program may open its connections before it needs them: their silence keeps nobody out (Admission). */
function firstByteMs(environment: Environment, variables: BridgeValues): number {
  const { BRIDGE_HOST, BRIDGE_FIRST_BYTE_MS, BRIDGE_IDLE_MS, BRIDGE_PROXY_PROTOCOL } = variables;
  const { BRIDGE_FIRST_BYTE_MS: chosen } = environment;
  const isHere = isLoopbackHost(BRIDGE_HOST) && !BRIDGE_PROXY_PROTOCOL.includes("game");
  return chosen === undefined && isHere ? BRIDGE_IDLE_MS : BRIDGE_FIRST_BYTE_MS;
}

/** As a part of the port's endpoint. */
function proxiesOf(port: ProxiedPort, variables: BridgeValues): Pick<Endpoint, "proxies"> {
  const proxies = parseProxies(port, variables);
  return proxies === undefined ? {} : { proxies };
}

/** Undefined without PLAYER_TLS_CERT and PLAYER_TLS_KEY: no player is served without encryption. */
function parsePlayerPort(environment: Environment, variables: BridgeValues): PlayerPortConfig | undefined {
  const tls = parsePlayerTls(variables);
  if (tls === undefined) {
    if (environment["PLAYER_PORT"] === undefined) return undefined;
    throw new ConfigError("PLAYER_PORT: needed with it are PLAYER_TLS_CERT and PLAYER_TLS_KEY");
  }
  return {
    endpoint: {
      host: variables.PLAYER_HOST ?? variables.BRIDGE_HOST,
      port: variables.PLAYER_PORT,
      tls,
      ...proxiesOf("player", variables),
    },
    limits: {
      maxConnections: variables.PLAYER_MAX_CONNECTIONS,
      maxConnectionsPerAddress: variables.PLAYER_MAX_CONNECTIONS_PER_ADDRESS,
      joinMs: variables.PLAYER_JOIN_MS,
      packetTimeoutMs: variables.PLAYER_PACKET_TIMEOUT_MS,
      idleMs: variables.PLAYER_IDLE_MS,
      maxUnreadBytes: variables.PLAYER_MAX_UNREAD_BYTES,
      writeStallTimeoutMs: variables.PLAYER_WRITE_STALL_TIMEOUT_MS,
      maxFailedJoinsPerMinute: variables.PLAYER_MAX_FAILED_JOINS_PER_MINUTE,
      maxAskedJoinsPerAddress: variables.PLAYER_MAX_ASKED_JOINS_PER_ADDRESS,
      failedJoinDelayMs: variables.PLAYER_FAILED_JOIN_DELAY_MS,
      edgeDeadlineMs: variables.PLAYER_EDGE_DEADLINE_MS,
      maxEdgeBytes: variables.PLAYER_MAX_EDGE_BYTES,
    },
  };
}

/** Undefined without CHECK_PORT. */
function parseCheckPort(variables: BridgeValues): CheckPortConfig | undefined {
  const { CHECK_HOST: host, CHECK_PORT: port } = variables;
  if (port === undefined) return undefined;
  const tls = parseCheckTls(variables);
  return {
    endpoint: { host, port, ...(tls === undefined ? {} : { tls }), ...proxiesOf("check", variables) },
    limits: {
      maxConnections: variables.CHECK_MAX_CONNECTIONS,
      maxConnectionsPerAddress: variables.CHECK_MAX_CONNECTIONS_PER_ADDRESS,
      headersMs: variables.CHECK_HEADERS_MS,
      requestMs: variables.CHECK_REQUEST_MS,
      idleMs: variables.CHECK_IDLE_MS,
      maxFailuresPerMinute: variables.CHECK_MAX_FAILURES_PER_MINUTE,
      failureDelayMs: variables.CHECK_FAILURE_DELAY_MS,
    },
  };
}
