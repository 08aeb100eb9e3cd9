import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import type { ConnectionLimits } from "./http/http-server.ts";
import type { MemoryLimits } from "./http/request-memory.ts";
import type { BodyLimits } from "./http/rest-codec.ts";

/** Where the primary is: an address that never changes, or the sentinels that know it. */
export interface RedisLocation {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** Empty: `host` and `port` are the primary. Otherwise the sentinels name it, and only the rest of REDIS_URL counts. */
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  /** The name that the sentinels know the primary by. */
  readonly masterName: string;
}

/** Everything that redis-rest can be told, parsed. */
export interface RedisRestConfig {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  readonly token: string;
  readonly redis: RedisLocation;
  readonly replicaReads: boolean;
  /** Replicas that must have a write before it is answered; 0 is none. */
  readonly writeReplicas: number;
  /** With writeReplicas: how old the proof may be, with which a read is answered at once, that the primary still has them. */
  readonly readLeaseMs: number;
  /** The time a request has in all, whatever happens to Redis. */
  readonly deadlineMs: number;
  /** Whether a script that runs beyond its deadline is killed. */
  readonly killScripts: boolean;
  readonly body: BodyLimits;
  readonly memory: MemoryLimits;
  readonly connections: ConnectionLimits;
}

/** A bad or missing variable; the message names it and says what is allowed, and never repeats a secret. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Room for one read, one retry and the answer inside a caller's patience. */
const DEFAULT_DEADLINE_MS = 1_000;

const MEBIBYTE = 1024 * 1024;

/** What nobody guesses: 32 characters of base64 are 192 bits. */
const MIN_TOKEN_CHARACTERS = 32;

/**
 * Below Sentinel's `down-after-milliseconds` in any set-up that is not a test (its default is 30 s), so that a lease of the old
 * primary is over before another one is promoted; and well above a replica's stalls (a fork, a slow disk).
 */
const DEFAULT_READ_LEASE_MS = 1_000;

/** Parses the environment (docs/configuration.md). Throws ConfigError. */
export function parseConfig(env: Environment): RedisRestConfig {
  const host = text(env, "REDIS_REST_HOST") ?? "127.0.0.1";
  const redis = parseLocation(env);
  return {
    host,
    port: integer(env, "REDIS_REST_PORT", 8079, 0, 65_535),
    token: parseToken(env, isLoopback(host) && isOnLoopback(redis)),
    redis,
    replicaReads: integer(env, "REPLICA_READS", 0, 0, 1) === 1,
    writeReplicas: integer(env, "WRITE_REPLICAS", 0, 0, 100),
    readLeaseMs: integer(env, "READ_LEASE_MS", DEFAULT_READ_LEASE_MS, 100, 60_000),
    deadlineMs: integer(env, "REDIS_REST_DEADLINE_MS", DEFAULT_DEADLINE_MS, 50, 60_000),
    killScripts: integer(env, "REDIS_REST_KILL_SCRIPTS", 1, 0, 1) === 1,
    body: { maxCommands: integer(env, "REDIS_REST_MAX_COMMANDS", 10_000, 1, 100_000) },
    memory: {
      maxAnswerBytes: integer(env, "REDIS_REST_MAX_ANSWER_BYTES", 16 * MEBIBYTE, 1024, 64 * MEBIBYTE),
      maxHeldBytes: integer(env, "REDIS_REST_MAX_HELD_BYTES", 256 * MEBIBYTE, 16 * MEBIBYTE, 999_999_999),
    },
    connections: {
      max: integer(env, "REDIS_REST_MAX_CONNECTIONS", 10_000, 1, 100_000),
      maxPerAddress: integer(env, "REDIS_REST_MAX_CONNECTIONS_PER_ADDRESS", 1_000, 1, 100_000),
      headersMs: integer(env, "REDIS_REST_HEADERS_MS", 5_000, 100, 60_000),
      bodyMs: integer(env, "REDIS_REST_BODY_MS", 15_000, 100, 600_000),
      unreadMs: integer(env, "REDIS_REST_UNREAD_MS", 15_000, 100, 600_000),
    },
  };
}

/** An empty variable is an unset one: that is how compose files and shells pass "nothing". */
function text(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === "" ? undefined : value;
}

function integer(env: Environment, name: string, fallback: number, min: number, max: number): number {
  const value = text(env, name);
  if (value === undefined) return fallback;
  const parsed = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (parsed >= min && parsed <= max) return parsed;
  throw new ConfigError(`${name} must be a whole number from ${min} to ${max}, not "${value}"`);
}

function parseToken(env: Environment, mayBeShort: boolean): string {
  const token = text(env, "REDIS_REST_TOKEN");
  if (token === undefined || !/^[\x21-\x7e]+$/.test(token)) {
    throw new ConfigError("REDIS_REST_TOKEN must be set: the bearer token of callers, printable ASCII without spaces");
  }
  if (mayBeShort || token.length >= MIN_TOKEN_CHARACTERS) return token;
  throw new ConfigError(
    `REDIS_REST_TOKEN must have ${MIN_TOKEN_CHARACTERS} characters or more, unless REDIS_REST_HOST and Redis are on loopback: "openssl rand -base64 32" makes one`,
  );
}

/** Whether a host reaches nothing but this machine. A name other than localhost may come to mean another. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || (isIP(host) !== 0 && ipaddr.process(host).range() === "loopback");
}

/** Sentinels name any address; those on loopback are taken to name one there. */
function isOnLoopback({ host, sentinels }: RedisLocation): boolean {
  return sentinels.length === 0 ? isLoopback(host) : sentinels.every((sentinel) => isLoopback(sentinel.host));
}

function parseLocation(env: Environment): RedisLocation {
  const sentinels = (text(env, "REDIS_SENTINELS") ?? "").split(",").filter((item) => item.trim() !== "");
  const url = text(env, "REDIS_URL");
  if (url === undefined && sentinels.length === 0) {
    throw new ConfigError("REDIS_URL or REDIS_SENTINELS must be set: REDIS_URL=redis://127.0.0.1:6379");
  }
  return {
    ...parseUrl(url ?? "redis://127.0.0.1:6379"),
    sentinels: sentinels.map(parseSentinel),
    masterName: text(env, "REDIS_MASTER") ?? "mymaster",
  };
}

function parseUrl(value: string): Omit<RedisLocation, "sentinels" | "masterName"> {
  const allowed = new ConfigError(
    "REDIS_URL must be redis://[user:password@]host[:port][/database], or rediss:// for TLS",
  );
  const url = URL.parse(value);
  const database = /^\/?(\d{0,5})$/.exec(url?.pathname ?? "-")?.[1];
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === "" || database === undefined) throw allowed;
  try {
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? 6379 : Number(url.port),
      tls: url.protocol === "rediss:",
      username: decodeURIComponent(url.username) || undefined,
      password: decodeURIComponent(url.password) || undefined,
      database: Number(database),
    };
  } catch {
    throw allowed;
  }
}

function parseSentinel(item: string): { host: string; port: number } {
  const parts = /^\s*\[?([^\s[\]]+?)\]?:(\d{1,5})\s*$/.exec(item);
  const port = Number(parts?.[2]);
  if (parts?.[1] === undefined || port < 1 || port > 65_535) {
    throw new ConfigError(`REDIS_SENTINELS must be host:port[,host:port...], not "${item}"`);
  }
  return { host: parts[1], port };
}
