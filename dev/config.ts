import * as v from "valibot";
import {
  ConfigError,
  type Environment,
  Host,
  List,
  parseEnvironment,
  port,
  withoutEmpty,
} from "../config/environment.ts";
import { HOW_TO_MAKE_A_KEY, isLoopbackHost, MIN_KEY_CHARACTERS } from "../config/loopback.ts";
import { CertificateAuthorities } from "../edge/config.ts";
import { parseRedisRestConfig } from "../redis-rest/config.ts";
import { BridgeVariables, parseBridgeConfig, RENAMED_BRIDGE_VARIABLES } from "../tcp-bridge/config.ts";
import { parseWorkerConfig, WorkerVariables } from "../worker/config.ts";
import { HasherVariables, parseHashQueueLimits } from "../worker/password-hasher/password-service.ts";

/** What `npm start` runs, from the environment (docs/configuration.md). */
export interface StackConfig {
  /** Where the edge listens; 0 is any free port, as for the others. */
  readonly edgePort: number;
  readonly bridgeHost: string;
  readonly bridgePort: number;
  readonly playerHost: string;
  readonly playerPort: number;
  readonly metricsPort: number;
  readonly checkHost: string;
  readonly checkPort: number;
  /** The key that the bridge shows and the printed commands use. */
  readonly apiKey: string;
  /** The Redis that holds the sessions; undefined: the embedded store. */
  readonly redisUrl: string | undefined;
  readonly redisRestPort: number;
  /** Where the embedded stores keep their data; undefined: nothing is kept after the stop. */
  readonly stateDir: string | undefined;
  /** Whether nothing listens beyond loopback and Redis, if there is one, is on it: only then keys may be short. */
  readonly isLoopbackOnly: boolean;
  /** Variables of the worker and of the password hasher, passed on as they are. */
  readonly workerVariables: Readonly<Record<string, string>>;
  /** Certificates of authorities in PEM, which the edge trusts beside those that browsers trust. */
  readonly trustedCertificates: readonly string[];
  /** Variables of the bridge, all but the edge's URL. */
  readonly bridgeVariables: Readonly<Record<string, string>>;
}

/** Every variable that `npm start` reads itself. */
export const StackVariables = v.object({
  EDGE_PORT: port(8787),
  BRIDGE_HOST: v.optional(Host, "127.0.0.1"),
  BRIDGE_PORT: port(7000),
  PLAYER_HOST: v.optional(Host),
  PLAYER_PORT: port(7001),
  METRICS_PORT: port(7002),
  CHECK_HOST: v.optional(Host, "127.0.0.1"),
  CHECK_PORT: port(7003),
  API_KEY: v.optional(v.string()),
  API_KEYS: v.optional(List, ""),
  STATE_DIR: v.optional(v.string()),
  REDIS_URL: v.optional(
    v.pipe(v.string(), v.regex(/^rediss?:\/\/\S+$/, "allowed is redis://host:port or rediss://host:port")),
  ),
  REDIS_REST_PORT: port(8079),
  NODE_EXTRA_CA_CERTS: CertificateAuthorities,
});

/** What `npm start` decides itself: by REDIS_URL, and by where it listens. */
const DECIDED_HERE = ["SESSION_STORE", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "LOOPBACK_ONLY"];

/** The worker's own variables that a developer may set: all that its schemas name. */
const WORKER_VARIABLES = Object.keys({ ...WorkerVariables.entries, ...HasherVariables.entries }).filter(
  (name) => !DECIDED_HERE.includes(name),
);

/** The bridge asks the edge of this stack. */
const BRIDGE_VARIABLES = Object.keys({ ...BridgeVariables.entries, ...RENAMED_BRIDGE_VARIABLES }).filter(
  (name) => name !== "EDGE_URL",
);

/**
 * Parses the environment of `npm start`; an empty variable is an unset one.
 *
 * @throws ConfigError naming the variables and what is allowed
 */
export function parseStackConfig(environment: Environment): StackConfig {
  const given = withoutEmpty(environment);
  const variables = parseEnvironment(StackVariables, given);
  // The bridge must show a key that the edge accepts.
  const apiKey = variables.API_KEY ?? variables.API_KEYS[0] ?? "dev-key";
  const { BRIDGE_HOST, PLAYER_HOST = BRIDGE_HOST, CHECK_HOST, REDIS_URL } = variables;
  const beyond = variableBeyondLoopback({ REDIS_URL, BRIDGE_HOST, PLAYER_HOST, CHECK_HOST });
  if (beyond !== undefined) refuseShortKeys([apiKey, ...variables.API_KEYS], beyond);
  return {
    edgePort: variables.EDGE_PORT,
    bridgeHost: BRIDGE_HOST,
    bridgePort: variables.BRIDGE_PORT,
    playerHost: PLAYER_HOST,
    playerPort: variables.PLAYER_PORT,
    metricsPort: variables.METRICS_PORT,
    checkHost: CHECK_HOST,
    checkPort: variables.CHECK_PORT,
    apiKey,
    redisUrl: REDIS_URL,
    redisRestPort: variables.REDIS_REST_PORT,
    stateDir: variables.STATE_DIR,
    isLoopbackOnly: beyond === undefined,
    trustedCertificates: variables.NODE_EXTRA_CA_CERTS,
    workerVariables: { API_KEYS: apiKey, ...only(WORKER_VARIABLES, given) },
    bridgeVariables: {
      // The terminal is for people; what they must know is a warning.
      LOG_LEVEL: "warn",
      ...only(BRIDGE_VARIABLES, given),
      BRIDGE_HOST,
      BRIDGE_PORT: String(variables.BRIDGE_PORT),
      PLAYER_HOST,
      PLAYER_PORT: String(variables.PLAYER_PORT),
      METRICS_PORT: String(variables.METRICS_PORT),
      CHECK_HOST,
      CHECK_PORT: String(variables.CHECK_PORT),
      API_KEY: apiKey,
    },
  };
}

/**
 * Lets each part parse its variables before anything is started.
 *
 * @throws ConfigError naming a part's variables that are wrong
 */
export function checkParts({ workerVariables, bridgeVariables, isLoopbackOnly, redisUrl }: StackConfig): void {
  parseWorkerConfig({ ...workerVariables, SESSION_STORE: "embedded", LOOPBACK_ONLY: isLoopbackOnly ? "1" : "0" });
  parseHashQueueLimits(workerVariables);
  if (redisUrl !== undefined)
    parseRedisRestConfig({ REDIS_URL: redisUrl, REDIS_REST_TOKEN: "x".repeat(MIN_KEY_CHARACTERS) });
  // The edge's port is not known yet, and the certificate is not made: without one the bridge would open no player port.
  const { PLAYER_PORT, ...withoutPlayers } = bridgeVariables;
  const bridge = hasPlayerCertificate(bridgeVariables) ? { ...withoutPlayers, PLAYER_PORT } : withoutPlayers;
  parseBridgeConfig({ ...bridge, EDGE_URL: "http://127.0.0.1" });
}

/** Whether the developer has a certificate for the player port, so that none needs to be made. */
export function hasPlayerCertificate(bridgeVariables: Environment): boolean {
  return bridgeVariables["PLAYER_TLS_CERT"] !== undefined || bridgeVariables["PLAYER_TLS_KEY"] !== undefined;
}

function only(names: readonly string[], environment: Environment): Record<string, string> {
  const entries = names.map((name) => [name, environment[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** The first of the variables that names a host, or a URL, which is not of this machine alone. */
function variableBeyondLoopback(variables: Environment): string | undefined {
  const isHere = (value: string) => isLoopbackHost(URL.parse(value)?.hostname || value);
  return Object.entries(variables).find(([, value]) => value !== undefined && !isHere(value))?.[0];
}

function refuseShortKeys(keys: readonly string[], beyond: string): void {
  if (keys.every((key) => key.length >= MIN_KEY_CHARACTERS)) return;
  throw new ConfigError(
    `API_KEY: allowed are ${MIN_KEY_CHARACTERS} characters or more when ${beyond} is beyond loopback, and dev-key is for loopback only; ${HOW_TO_MAKE_A_KEY}`,
  );
}
