import { HOW_TO_MAKE_A_KEY, isLoopbackHost, MIN_KEY_CHARACTERS } from "../protocol/loopback.ts";
import { HASHER_SETTING_NAMES } from "../worker/password-hasher/password-service.ts";
import { SETTING_NAMES } from "../worker/settings.ts";

/** What `npm start` runs, from the environment (docs/configuration.md). */
export interface StackConfig {
  /** Where the edge listens; 0 is any free port, as for the others. */
  readonly edgePort: number;
  readonly bridgeHost: string;
  readonly bridgePort: number;
  readonly playerHost: string;
  readonly playerPort: number;
  readonly metricsPort: number;
  /** The key that the bridge shows and the printed commands use. */
  readonly apiKey: string;
  /** The Redis that holds the sessions; undefined: the embedded store. */
  readonly redisUrl: string | undefined;
  readonly redisRestPort: number;
  /** Where the embedded stores keep their data; undefined: nothing is kept after the stop. */
  readonly stateDir: string | undefined;
  /** Whether nothing listens beyond loopback and Redis, if there is one, is on it: only then keys may be short. */
  readonly isLoopbackOnly: boolean;
  /** Variables of the worker, passed on as they are: it checks them itself. */
  readonly workerVariables: Readonly<Record<string, string>>;
}

/** What `npm start` decides itself: by REDIS_URL, and by where it listens. */
const DECIDED_HERE = ["SESSION_STORE", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "LOOPBACK_ONLY"];

/** The worker's own variables that a developer may set: all that its schemas name. */
const WORKER_VARIABLES = [...SETTING_NAMES, ...HASHER_SETTING_NAMES].filter((name) => !DECIDED_HERE.includes(name));

/**
 * Parses the environment of `npm start`.
 *
 * @throws Error naming the variable and what is allowed
 */
export function parseStackConfig(env: Readonly<Record<string, string | undefined>>): StackConfig {
  // The bridge must show a key that the edge accepts.
  const apiKey = text(env, "API_KEY") ?? text(env, "API_KEYS")?.split(",")[0]?.trim() ?? "dev-key";
  const bridgeHost = text(env, "BRIDGE_HOST") ?? "127.0.0.1";
  const playerHost = text(env, "PLAYER_HOST") ?? bridgeHost;
  const redis = redisUrl(env);
  const beyond = variableBeyondLoopback({ REDIS_URL: redis, BRIDGE_HOST: bridgeHost, PLAYER_HOST: playerHost });
  if (beyond !== undefined) refuseShortKeys([apiKey, ...(text(env, "API_KEYS") ?? "").split(",")], beyond);
  return {
    edgePort: port(env, "EDGE_PORT", 8787),
    bridgeHost,
    bridgePort: port(env, "BRIDGE_PORT", 7000),
    playerHost,
    playerPort: port(env, "PLAYER_PORT", 7001),
    metricsPort: port(env, "METRICS_PORT", 7002),
    apiKey,
    redisUrl: redis,
    redisRestPort: port(env, "REDIS_REST_PORT", 8079),
    stateDir: text(env, "STATE_DIR"),
    isLoopbackOnly: beyond === undefined,
    workerVariables: {
      API_KEYS: text(env, "API_KEYS") ?? apiKey,
      ...Object.fromEntries(
        WORKER_VARIABLES.flatMap((name) => {
          const value = text(env, name);
          return value === undefined ? [] : [[name, value]];
        }),
      ),
    },
  };
}

function text(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === "" ? undefined : value;
}

function port(env: Readonly<Record<string, string | undefined>>, name: string, byDefault: number): number {
  const value = text(env, name);
  if (value === undefined) return byDefault;
  const number = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number <= 65_535)) throw new Error(`${name}: allowed is a port, 0..65535 (0: any free one)`);
  return number;
}

function redisUrl(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const value = text(env, "REDIS_URL");
  if (value !== undefined && !/^rediss?:\/\/\S+$/.test(value)) {
    throw new Error("REDIS_URL: allowed is redis://host:port or rediss://host:port");
  }
  return value;
}

/** The first of the variables that names a host, or a URL, which is not of this machine alone. */
function variableBeyondLoopback(variables: Readonly<Record<string, string | undefined>>): string | undefined {
  const isHere = (value: string) => isLoopbackHost(URL.parse(value)?.hostname || value);
  return Object.entries(variables).find(([, value]) => value !== undefined && !isHere(value))?.[0];
}

function refuseShortKeys(keys: readonly string[], beyond: string): void {
  const lengths = keys.map((key) => key.trim().length).filter((length) => length > 0);
  if (lengths.every((length) => length >= MIN_KEY_CHARACTERS)) return;
  throw new Error(
    `API_KEY: allowed are ${MIN_KEY_CHARACTERS} characters or more when ${beyond} is beyond loopback, and dev-key is for loopback only; ${HOW_TO_MAKE_A_KEY}`,
  );
}
