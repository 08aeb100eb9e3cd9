import * as v from "valibot";
import {
  ConfigError,
  type Environment,
  flag,
  Host,
  List,
  parseEnvironment,
  port,
  renamingWarnings,
  wholeNumber,
  withoutEmpty,
} from "../config/environment.ts";
import { HOW_TO_MAKE_A_KEY, isLoopbackHost, MIN_KEY_CHARACTERS } from "../config/loopback.ts";
import type { ConnectionLimits } from "./http/http-server.ts";
import type { MemoryLimits } from "./http/request-memory.ts";
import type { BodyLimits } from "./http/rest-codec.ts";
import type { RedisLocation } from "./redis/redis-connection.ts";

/** redis-rest's variables, parsed (docs/configuration.md). */
export interface RedisRestConfig {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  readonly token: string;
  readonly redis: RedisLocation;
  readonly replicaReads: boolean;
  /** Replicas that must have a write before the response to it; 0 is none. */
  readonly writeReplicas: number;
  /** With writeReplicas: up to which age the last proof that the primary still has them lets a read return at once. */
  readonly readLeaseMs: number;
  /** The time a request has in all, whatever happens to Redis. */
  readonly deadlineMs: number;
  /** Whether a script that runs beyond its deadline is killed. */
  readonly killScripts: boolean;
  readonly body: BodyLimits;
  readonly memory: MemoryLimits;
  readonly connections: ConnectionLimits;
  /** What the operator should change: logged at each start. */
  readonly warnings: readonly string[];
}

/** Time for a read and one retry within the time that a caller waits. */
const DEFAULT_DEADLINE_MS = 1_000;

const MEBIBYTE = 1024 * 1024;

/**
 * Below Sentinel's `down-after-milliseconds` (30 s by default), so that the lease of the old primary ends before another one is
 * promoted; and well above a replica's stalls (a fork, a slow disk).
 */
const DEFAULT_READ_LEASE_MS = 1_000;

/** Every variable that redis-rest reads. */
export const RedisRestVariables = v.object({
  REDIS_URL: v.optional(
    v.pipe(
      v.string(),
      v.rawTransform(({ dataset: { value }, addIssue, NEVER }) => {
        const parsed = parseUrl(value);
        if (parsed !== undefined) return parsed;
        addIssue({ message: "allowed is redis://[user:password@]host[:port][/database], or rediss:// for TLS" });
        return NEVER;
      }),
    ),
  ),
  REDIS_SENTINELS: v.optional(
    v.pipe(
      List,
      v.rawTransform(({ dataset: { value: items }, addIssue, NEVER }) => {
        const sentinels = items.map(parseAddress).filter((address) => address !== undefined);
        if (sentinels.length === items.length) return sentinels;
        addIssue({ message: "allowed is host:port[,host:port...]" });
        return NEVER;
      }),
    ),
    "",
  ),
  REDIS_MASTER: v.optional(v.string(), "mymaster"),
  REDIS_REST_TOKEN: v.pipe(
    v.optional(v.string(), ""),
    v.regex(/^[\x21-\x7e]+$/, "needed is the bearer token of callers, printable ASCII without spaces"),
  ),
  REDIS_REST_HOST: v.optional(Host, "127.0.0.1"),
  REDIS_REST_PORT: port(8079),
  REDIS_REST_DEADLINE_MS: wholeNumber(50, 60_000, DEFAULT_DEADLINE_MS),
  REDIS_REST_KILL_SCRIPTS: flag("1"),
  REDIS_REST_MAX_COMMANDS: wholeNumber(1, 100_000, 10_000),
  REDIS_REST_MAX_RESPONSE_BYTES: wholeNumber(1024, 64 * MEBIBYTE, 16 * MEBIBYTE),
  REDIS_REST_MAX_HELD_BYTES: wholeNumber(16 * MEBIBYTE, 999_999_999, 256 * MEBIBYTE),
  REDIS_REST_MAX_CONNECTIONS: wholeNumber(1, 100_000, 10_000),
  REDIS_REST_MAX_CONNECTIONS_PER_ADDRESS: wholeNumber(1, 100_000, 1_000),
  REDIS_REST_HEADERS_MS: wholeNumber(100, 60_000, 5_000),
  REDIS_REST_BODY_MS: wholeNumber(100, 600_000, 15_000),
  REDIS_REST_WRITE_STALL_TIMEOUT_MS: wholeNumber(100, 600_000, 15_000),
  REPLICA_READS: flag(),
  WRITE_REPLICAS: wholeNumber(0, 100, 0),
  READ_LEASE_MS: wholeNumber(100, 60_000, DEFAULT_READ_LEASE_MS),
});

/** The old names stay for one version. */
export const RENAMED_REDIS_REST_VARIABLES = {
  REDIS_REST_UNREAD_MS: "REDIS_REST_WRITE_STALL_TIMEOUT_MS",
  REDIS_REST_MAX_ANSWER_BYTES: "REDIS_REST_MAX_RESPONSE_BYTES",
};

/**
 * Parses the environment; an empty variable is an unset one.
 *
 * @throws ConfigError naming the variables that are wrong
 */
export function parseRedisRestConfig(environment: Environment): RedisRestConfig {
  const given = withoutEmpty(environment);
  const variables = parseEnvironment(RedisRestVariables, given, RENAMED_REDIS_REST_VARIABLES);
  const redis = redisLocation(variables);
  refuseShortToken(variables, redis);
  return {
    host: variables.REDIS_REST_HOST,
    port: variables.REDIS_REST_PORT,
    token: variables.REDIS_REST_TOKEN,
    redis,
    replicaReads: variables.REPLICA_READS,
    writeReplicas: variables.WRITE_REPLICAS,
    readLeaseMs: variables.READ_LEASE_MS,
    deadlineMs: variables.REDIS_REST_DEADLINE_MS,
    killScripts: variables.REDIS_REST_KILL_SCRIPTS,
    body: { maxCommands: variables.REDIS_REST_MAX_COMMANDS },
    memory: {
      maxResponseBytes: variables.REDIS_REST_MAX_RESPONSE_BYTES,
      maxHeldBytes: variables.REDIS_REST_MAX_HELD_BYTES,
    },
    connections: {
      max: variables.REDIS_REST_MAX_CONNECTIONS,
      maxPerAddress: variables.REDIS_REST_MAX_CONNECTIONS_PER_ADDRESS,
      headersMs: variables.REDIS_REST_HEADERS_MS,
      bodyMs: variables.REDIS_REST_BODY_MS,
      writeStallTimeoutMs: variables.REDIS_REST_WRITE_STALL_TIMEOUT_MS,
    },
    warnings: renamingWarnings(given, RENAMED_REDIS_REST_VARIABLES),
  };
}

type RedisRestValues = v.InferOutput<typeof RedisRestVariables>;

function redisLocation({ REDIS_URL: url, REDIS_SENTINELS: sentinels, REDIS_MASTER }: RedisRestValues): RedisLocation {
  if (url === undefined && sentinels.length === 0) {
    throw new ConfigError("REDIS_URL: needed unless REDIS_SENTINELS is set: REDIS_URL=redis://127.0.0.1:6379");
  }
  return { ...(url ?? LOCAL_REDIS), sentinels, masterName: REDIS_MASTER };
}

function refuseShortToken({ REDIS_REST_TOKEN, REDIS_REST_HOST }: RedisRestValues, redis: RedisLocation): void {
  const mayBeShort = isLoopbackHost(REDIS_REST_HOST) && isOnLoopback(redis);
  if (mayBeShort || REDIS_REST_TOKEN.length >= MIN_KEY_CHARACTERS) return;
  throw new ConfigError(
    `REDIS_REST_TOKEN: allowed are ${MIN_KEY_CHARACTERS} characters or more, unless REDIS_REST_HOST and Redis are on loopback; ${HOW_TO_MAKE_A_KEY}`,
  );
}

/** Sentinels can name any address as the primary; those on loopback are assumed to name one there. */
function isOnLoopback({ host, sentinels }: RedisLocation): boolean {
  return sentinels.length === 0 ? isLoopbackHost(host) : sentinels.every((sentinel) => isLoopbackHost(sentinel.host));
}

type RedisUrl = Omit<RedisLocation, "sentinels" | "masterName">;

const LOCAL_REDIS: RedisUrl = {
  host: "127.0.0.1",
  port: 6379,
  tls: false,
  username: undefined,
  password: undefined,
  database: 0,
};

function parseUrl(value: string): RedisUrl | undefined {
  const url = URL.parse(value);
  const database = /^\/?(\d{0,5})$/.exec(url?.pathname ?? "-")?.[1];
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === "" || database === undefined) {
    return undefined;
  }
  try {
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? LOCAL_REDIS.port : Number(url.port),
      tls: url.protocol === "rediss:",
      username: decodeURIComponent(url.username) || undefined,
      password: decodeURIComponent(url.password) || undefined,
      database: Number(database),
    };
  } catch {
    // Not percent-encoded UTF-8.
    return undefined;
  }
}

function parseAddress(item: string): { host: string; port: number } | undefined {
  const [, host, digits] = /^\[?([^\s[\]]+?)\]?:(\d{1,5})$/.exec(item) ?? [];
  const number = Number(digits);
  return host === undefined || number < 1 || number > 65_535 ? undefined : { host, port: number };
}
