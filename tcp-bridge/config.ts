import ipaddr from "ipaddr.js";
import * as v from "valibot";
import { ConfigError } from "./config-error.ts";
import { DEFAULT_CONNECTION_LIMITS } from "./core/connection-limits.ts";
import type { Endpoint } from "./core/endpoint.ts";
import type { GamePortLimits } from "./game/game-port.ts";
import type { PlayerPortConfig } from "./player/player-port.ts";
import { PlayerVariables, parsePlayerPort } from "./player-variables.ts";
import { parseTls } from "./tls-variables.ts";
import { wholeNumber } from "./whole-number.ts";

/**
 * What the bridge's variables say, parsed (docs/configuration.md). BRIDGE_TLS_CERT, BRIDGE_TLS_KEY, BRIDGE_TLS_CLIENT_CA,
 * PLAYER_TLS_CERT and PLAYER_TLS_KEY are each a file's path or the PEM text itself; the third makes TLS mutual.
 */
export interface BridgeConfig {
  readonly game: Endpoint;
  readonly gameLimits: GamePortLimits;
  /** Absent: no player port. */
  readonly player?: PlayerPortConfig;
  /** Plain HTTP, on the game port's host: it tells numbers, no session. */
  readonly metrics: { readonly host: string; readonly port: number };
  readonly edge: {
    readonly url: URL;
    readonly apiKey: string;
    readonly deadlineMs: number;
    readonly maxBatchesInFlight: number;
  };
  readonly logLevel: string;
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** Game servers run older TLS stacks than players do; 1.2 is what RFC 9325 §3.1.1 still allows. */
const GAME_TLS_MIN_VERSION = "TLSv1.2";

const limits = DEFAULT_CONNECTION_LIMITS;

const Variables = v.object({
  BRIDGE_HOST: v.optional(v.pipe(v.string(), v.regex(/^\S+$/, "allowed is a host name or an IP address")), "127.0.0.1"),
  BRIDGE_PORT: wholeNumber(0, 65_535, 7000),
  METRICS_PORT: wholeNumber(0, 65_535, 7002),
  EDGE_URL: v.pipe(
    v.optional(v.string(), ""),
    v.check(isEdgeUrl, "needed is the edge's address, an http or https URL without a user, a query or a fragment"),
  ),
  API_KEY: v.pipe(
    v.optional(v.string(), ""),
    // RFC 9110 §5.5: what a header may carry; the edge splits its list at commas.
    v.regex(/^[\x21-\x2b\x2d-\x7e]+$/, "needed is one of the edge's API_KEYS: printable ASCII without space and comma"),
  ),
  BRIDGE_ALLOW_PLAINTEXT: v.optional(v.picklist(["", "0", "1"], "allowed is 0 or 1"), "0"),
  LOG_LEVEL: v.optional(v.picklist(LOG_LEVELS, `allowed is one of ${LOG_LEVELS.join(", ")}`), "info"),
  BRIDGE_MAX_CONNECTIONS: wholeNumber(1, 1_000_000, limits.maxConnections),
  BRIDGE_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 1_000_000, limits.maxConnectionsPerAddress),
  BRIDGE_HALF_SENT_MS: wholeNumber(1, 3_600_000, limits.halfSentMs),
  BRIDGE_IDLE_MS: wholeNumber(1, 24 * 3_600_000, limits.idleMs),
  BRIDGE_MAX_UNREAD_BYTES: wholeNumber(1024, 2 ** 30, limits.maxUnreadBytes),
  BRIDGE_UNREAD_MS: wholeNumber(1, 3_600_000, limits.unreadMs),
  BRIDGE_MAX_WAITING_PACKETS: wholeNumber(1, 1_000_000, 2000),
  BRIDGE_MAX_FAILURES_PER_MINUTE: wholeNumber(1, 1_000_000_000, 1000),
  BRIDGE_EDGE_DEADLINE_MS: wholeNumber(100, 60_000, 2000),
  BRIDGE_MAX_BATCHES_IN_FLIGHT: wholeNumber(1, 256, 4),
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
  if (tls === undefined && !isLoopback(host) && variables.BRIDGE_ALLOW_PLAINTEXT !== "1") {
    throw new ConfigError(
      `BRIDGE_HOST: ${host} is beyond loopback, so set BRIDGE_TLS_CERT and BRIDGE_TLS_KEY, or BRIDGE_ALLOW_PLAINTEXT=1`,
    );
  }
  const player = parsePlayerPort(environment, variables, host);
  return {
    game: { host, port: variables.BRIDGE_PORT, ...(tls === undefined ? {} : { tls }) },
    gameLimits: {
      maxConnections: variables.BRIDGE_MAX_CONNECTIONS,
      maxConnectionsPerAddress: variables.BRIDGE_MAX_CONNECTIONS_PER_ADDRESS,
      halfSentMs: variables.BRIDGE_HALF_SENT_MS,
      idleMs: variables.BRIDGE_IDLE_MS,
      maxUnreadBytes: variables.BRIDGE_MAX_UNREAD_BYTES,
      unreadMs: variables.BRIDGE_UNREAD_MS,
      maxWaitingPackets: variables.BRIDGE_MAX_WAITING_PACKETS,
      maxFailuresPerMinute: variables.BRIDGE_MAX_FAILURES_PER_MINUTE,
    },
    ...(player === undefined ? {} : { player }),
    metrics: { host, port: variables.METRICS_PORT },
    edge: {
      url: new URL(variables.EDGE_URL),
      apiKey: variables.API_KEY,
      deadlineMs: variables.BRIDGE_EDGE_DEADLINE_MS,
      maxBatchesInFlight: variables.BRIDGE_MAX_BATCHES_IN_FLIGHT,
    },
    logLevel: variables.LOG_LEVEL,
  };
}

function isEdgeUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return false;
  return url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  return ipaddr.isValid(host) && ipaddr.process(host).range() === "loopback";
}
