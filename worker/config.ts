import * as v from "valibot";
import { type AddressRange, AddressRanges } from "../config/address-ranges.ts";
import { ConfigError, flag, List, parseEnvironment, wholeNumber } from "../config/environment.ts";
import { HOW_TO_MAKE_A_KEY, isLoopbackHost, MIN_KEY_CHARACTERS } from "../config/loopback.ts";
import { MAX_BOUND_MS, MIN_BOUND_MS } from "../protocol/leases/lease-messages.ts";
import { DEFAULT_ROOM_LIMITS, type RoomLimits } from "../protocol/reliable/room/room-limits.ts";
import type { BodyLimits } from "./http/form-body.ts";
import { Grants } from "./http/schemas.ts";
import type { SessionPolicy } from "./session-store/session-lifetime.ts";
import { DEFAULT_LOG_ENTRIES } from "./session-store/session-log.ts";

/** The worker's variables and secrets, parsed (docs/configuration.md). */
export interface WorkerConfig {
  /** The keys of services; any of them is valid, so that keys can be rotated. Empty: no service routes. */
  readonly apiKeys: readonly string[];
  readonly store:
    | { readonly kind: "embedded" }
    | { readonly kind: "redis"; readonly url: string; readonly token: string; readonly keyPrefix: string };
  readonly policy: SessionPolicy;
  /** The entries that the log of sessions keeps at least. */
  readonly logEntries: number;
  /** For how long a bridge may answer from memory after the hub has heard from it, and so how long a revoke may wait for one. */
  readonly revocationBoundMs: number;
  /** Where the ends of sessions are posted; null: nowhere. */
  readonly webhook: WebhookEndpoint | null;
  /** Proxies whose X-Forwarded-For is believed (http/client-address.ts). */
  readonly trustedProxies: readonly AddressRange[];
  /** Browser accounts: what one may enter that has no grants of its own, and whether anybody may make one. */
  readonly web: { readonly grants: readonly string[]; readonly signup: "open" | "closed" };
  readonly login: LoginLimits;
  /** Forms of pages that are not complete yet, in one isolate. */
  readonly forms: BodyLimits;
  /** Rooms that a session may be in at once. */
  readonly maxRoomsPerSession: number;
  readonly room: Pick<
    RoomLimits,
    | "historyMessages"
    | "maxMembers"
    | "maxSeatsPerUser"
    | "maxUnjoined"
    | "maxUnjoinedPerSession"
    | "ackTimeoutMs"
    | "sender"
    | "log"
  >;
}

/** A receiver of webhooks (docs/webhooks.md). */
export interface WebhookEndpoint {
  readonly url: string;
  /** Messages have a signature of each, so that secrets can be rotated: 1..{@link MAX_WEBHOOK_SECRETS}, 24..64 bytes. */
  readonly secrets: readonly Uint8Array<ArrayBuffer>[];
}

/** Tries at passwords, each within a minute (browser/login-limit.ts). A network is an IPv4 address, or 48 bits of IPv6. */
export interface LoginLimits {
  readonly triesPerAccount: number;
  readonly triesPerAccountFromNetwork: number;
  /** At one account, from a device on which it has logged in before. */
  readonly triesPerDevice: number;
  readonly failuresPerAddress: number;
  readonly failuresPerNetwork: number;
  readonly signupsPerAddress: number;
  readonly signupsPerNetwork: number;
}

/** Ten years: longer is a typing error, not a lifetime. */
const MAX_SECONDS = 10 * 365 * 24 * 3600;

/** An entry is about one session or up to 1,000: some 100 bytes to 30 KB of Redis's memory. */
const MAX_LOG_ENTRIES = 10_000_000;

/** More a minute are no limit. */
const MAX_TRIES = 100_000;

/** A rate above it is none. */
const MAX_RATE = 1_000_000_000;

/** Half of it must be more than what a log holds that nobody needs (16 MiB); a Durable Object stores 10 GB. */
const MIN_LOG_BYTES = 4 * DEFAULT_ROOM_LIMITS.log.maxBytes;
const MAX_LOG_BYTES = 4 * 1024 ** 3;

/** A rotation needs two. */
const MAX_WEBHOOK_SECRETS = 4;
const ALLOWED_WEBHOOK_SECRETS = `allowed are 1..${MAX_WEBHOOK_SECRETS} of them, separated by spaces`;

/** Standard Webhooks 1.0.0, "Signature scheme": of the secret's random bytes. */
const MIN_WEBHOOK_SECRET_BYTES = 24;
const MAX_WEBHOOK_SECRET_BYTES = 64;

const WebhookSecret = v.pipe(
  v.string(),
  v.transform(parseWebhookSecret),
  v.instance(
    Uint8Array<ArrayBuffer>,
    `allowed is whsec_ and ${MIN_WEBHOOK_SECRET_BYTES}..${MAX_WEBHOOK_SECRET_BYTES} bytes in base64 ("openssl rand -base64 32" makes 32)`,
  ),
);

const WebhookSecrets = v.pipe(
  v.string(),
  v.transform((text) => text.split(" ").filter((secret) => secret !== "")),
  v.minLength(1, ALLOWED_WEBHOOK_SECRETS),
  v.maxLength(MAX_WEBHOOK_SECRETS, ALLOWED_WEBHOOK_SECRETS),
  v.array(WebhookSecret),
);

/** Every variable and secret that the worker reads. */
export const WorkerVariables = v.object({
  LOOPBACK_ONLY: flag(),
  API_KEYS: v.optional(List, ""),
  SESSION_STORE: v.picklist(["redis", "embedded"], 'allowed is "redis" or "embedded"'),
  UPSTASH_REDIS_REST_URL: v.optional(
    v.pipe(v.string(), v.check(isStoreUrl, "allowed is an https URL, or an http URL of a loopback address")),
  ),
  UPSTASH_REDIS_REST_TOKEN: v.optional(v.pipe(v.string(), v.minLength(1, "allowed is a token of 1 character or more"))),
  REDIS_KEY_PREFIX: v.optional(
    v.pipe(v.string(), v.regex(/^[\w.:/-]{0,64}$/, "allowed are up to 64 letters, digits and characters of _ . : / -")),
    "artoria:",
  ),
  TRUSTED_PROXIES: v.optional(AddressRanges, ""),
  SESSION_TTL_SECONDS: wholeNumber(1, MAX_SECONDS, 1800),
  SESSION_MAX_SECONDS: wholeNumber(1, MAX_SECONDS, 86_400),
  TOUCH_INTERVAL_SECONDS: wholeNumber(0, MAX_SECONDS, 60),
  MAX_SESSIONS_PER_USER: wholeNumber(0, 10_000, 100),
  SESSION_LIMIT_POLICY: v.optional(
    v.picklist(["reject", "evict-oldest"], 'allowed is "reject" or "evict-oldest"'),
    "reject",
  ),
  SESSION_LOG_ENTRIES: wholeNumber(10, MAX_LOG_ENTRIES, DEFAULT_LOG_ENTRIES),
  REVOCATION_BOUND_MS: wholeNumber(MIN_BOUND_MS, MAX_BOUND_MS, 1000),
  WEBHOOK_URL: v.optional(v.string()),
  WEBHOOK_SECRET: v.optional(WebhookSecrets),
  WEB_GRANTS: v.optional(v.pipe(List, Grants), "room:*"),
  SIGNUP: v.optional(v.picklist(["open", "closed"], 'allowed is "open" or "closed"'), "open"),
  FORM_TIMEOUT_SECONDS: wholeNumber(1, 600, 15),
  MAX_WAITING_FORMS: wholeNumber(1, 10_000, 256),
  MAX_WAITING_FORMS_PER_ADDRESS: wholeNumber(1, 10_000, 64),
  LOGIN_TRIES_PER_ACCOUNT: wholeNumber(1, MAX_TRIES, 30),
  LOGIN_TRIES_PER_ACCOUNT_FROM_NETWORK: wholeNumber(1, MAX_TRIES, 10),
  LOGIN_TRIES_PER_DEVICE: wholeNumber(1, MAX_TRIES, 10),
  LOGIN_FAILURES_PER_ADDRESS: wholeNumber(1, MAX_TRIES, 60),
  LOGIN_FAILURES_PER_NETWORK: wholeNumber(1, MAX_TRIES, 240),
  SIGNUPS_PER_ADDRESS: wholeNumber(1, MAX_TRIES, 60),
  SIGNUPS_PER_NETWORK: wholeNumber(1, MAX_TRIES, 240),
  ROOM_HISTORY_MESSAGES: wholeNumber(0, 1000, DEFAULT_ROOM_LIMITS.historyMessages),
  ROOM_MAX_MEMBERS: wholeNumber(1, 10_000, DEFAULT_ROOM_LIMITS.maxMembers),
  ROOM_MAX_ROOMS_PER_SESSION: wholeNumber(1, 1000, 20),
  ROOM_MAX_SEATS_PER_USER: wholeNumber(1, 10_000, DEFAULT_ROOM_LIMITS.maxSeatsPerUser),
  ROOM_MAX_UNJOINED: wholeNumber(1, 10_000, DEFAULT_ROOM_LIMITS.maxUnjoined),
  ROOM_MAX_UNJOINED_PER_SESSION: wholeNumber(1, 10_000, DEFAULT_ROOM_LIMITS.maxUnjoinedPerSession),
  ROOM_ACK_TIMEOUT_SECONDS: wholeNumber(1, 3600, DEFAULT_ROOM_LIMITS.ackTimeoutMs / 1000),
  ROOM_MESSAGES_PER_SECOND: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.messages.perSecond),
  ROOM_MESSAGE_BURST: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.messages.burst),
  ROOM_BYTES_PER_SECOND: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.bytes.perSecond),
  ROOM_BYTE_BURST: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.bytes.burst),
  ROOM_DATAGRAMS_PER_SECOND: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.datagrams.perSecond),
  ROOM_DATAGRAM_BURST: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.datagrams.burst),
  ROOM_DATAGRAM_BYTES_PER_SECOND: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.datagramBytes.perSecond),
  ROOM_DATAGRAM_BYTE_BURST: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.datagramBytes.burst),
  ROOM_PACKETS_PER_SECOND: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.packets.perSecond),
  ROOM_PACKET_BURST: wholeNumber(1, MAX_RATE, DEFAULT_ROOM_LIMITS.sender.packets.burst),
  ROOM_LOG_MAX_BYTES: wholeNumber(MIN_LOG_BYTES, MAX_LOG_BYTES, DEFAULT_ROOM_LIMITS.log.maxNeededBytes),
});

/**
 * Parses the worker's environment; the bindings in it are ignored.
 *
 * @throws ConfigError naming the variables that are wrong
 */
export function parseWorkerConfig(environment: object): WorkerConfig {
  const variables = parseEnvironment(WorkerVariables, environment);
  if (variables.SESSION_TTL_SECONDS > variables.SESSION_MAX_SECONDS) {
    throw new ConfigError("SESSION_TTL_SECONDS: allowed is at most SESSION_MAX_SECONDS");
  }
  const store = parseStore(variables);
  refuseShortKeys(variables);
  return {
    apiKeys: variables.API_KEYS,
    trustedProxies: variables.TRUSTED_PROXIES,
    store,
    policy: {
      idleMs: variables.SESSION_TTL_SECONDS * 1000,
      maxMs: variables.SESSION_MAX_SECONDS * 1000,
      touchIntervalMs: variables.TOUCH_INTERVAL_SECONDS * 1000,
      maxSessionsPerUser: variables.MAX_SESSIONS_PER_USER,
      limitPolicy: variables.SESSION_LIMIT_POLICY,
    },
    logEntries: variables.SESSION_LOG_ENTRIES,
    revocationBoundMs: variables.REVOCATION_BOUND_MS,
    webhook: parseWebhook(variables),
    web: { grants: variables.WEB_GRANTS, signup: variables.SIGNUP },
    forms: {
      timeoutMs: variables.FORM_TIMEOUT_SECONDS * 1000,
      maxWaiting: variables.MAX_WAITING_FORMS,
      maxWaitingPerAddress: variables.MAX_WAITING_FORMS_PER_ADDRESS,
    },
    login: {
      triesPerAccount: variables.LOGIN_TRIES_PER_ACCOUNT,
      triesPerAccountFromNetwork: variables.LOGIN_TRIES_PER_ACCOUNT_FROM_NETWORK,
      triesPerDevice: variables.LOGIN_TRIES_PER_DEVICE,
      failuresPerAddress: variables.LOGIN_FAILURES_PER_ADDRESS,
      failuresPerNetwork: variables.LOGIN_FAILURES_PER_NETWORK,
      signupsPerAddress: variables.SIGNUPS_PER_ADDRESS,
      signupsPerNetwork: variables.SIGNUPS_PER_NETWORK,
    },
    maxRoomsPerSession: variables.ROOM_MAX_ROOMS_PER_SESSION,
    room: parseRoom(variables),
  };
}

function parseStore(variables: v.InferOutput<typeof WorkerVariables>): WorkerConfig["store"] {
  if (variables.SESSION_STORE === "embedded") return { kind: "embedded" };
  const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = variables;
  if (url === undefined || token === undefined) {
    const names = (["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"] as const).filter((name) => !variables[name]);
    throw new ConfigError(`${names.join(", ")}: needed with SESSION_STORE = "redis"`);
  }
  return { kind: "redis", url, token, keyPrefix: variables.REDIS_KEY_PREFIX };
}

function parseWebhook(variables: v.InferOutput<typeof WorkerVariables>): WebhookEndpoint | null {
  const { WEBHOOK_URL: url, WEBHOOK_SECRET: secrets, LOOPBACK_ONLY: loopbackOnly } = variables;
  if (url === undefined) return null;
  if (!isWebhookUrl(url, loopbackOnly)) {
    const also = loopbackOnly ? "or an http URL of a loopback address, " : "";
    throw new ConfigError(`WEBHOOK_URL: allowed is an https URL, ${also}without a user, a password or a fragment`);
  }
  if (secrets === undefined) throw new ConfigError("WEBHOOK_SECRET: needed with WEBHOOK_URL");
  return { url, secrets };
}

/** Who ended whose session goes there, so it is encrypted unless it ends on this machine. */
function isWebhookUrl(value: string, loopbackOnly: boolean): boolean {
  if (!/^https?:\/\/[^\s#]+$/.test(value) || !URL.canParse(value)) return false;
  const { protocol, hostname, username, password } = new URL(value);
  return username === "" && password === "" && (protocol === "https:" || (loopbackOnly && isLoopbackHost(hostname)));
}

/** The bytes of `whsec_<base64>`; null if it is anything else. */
function parseWebhookSecret(secret: string): Uint8Array<ArrayBuffer> | null {
  const [, base64] = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(secret) ?? [];
  if (base64 === undefined) return null;
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return bytes.length >= MIN_WEBHOOK_SECRET_BYTES && bytes.length <= MAX_WEBHOOK_SECRET_BYTES ? bytes : null;
}

/**
 * A worker does not know who can reach it: only what starts it does (dev/stack.ts). Unless that says so, and the store is
 * here too, whoever guesses a key is in.
 */
function refuseShortKeys(variables: v.InferOutput<typeof WorkerVariables>): void {
  const { SESSION_STORE, UPSTASH_REDIS_REST_URL: url = "", UPSTASH_REDIS_REST_TOKEN: token = "" } = variables;
  const storeIsRedis = SESSION_STORE === "redis";
  if (variables.LOOPBACK_ONLY && (!storeIsRedis || isLoopbackUrl(url))) return;
  const allowed = `allowed are ${MIN_KEY_CHARACTERS} characters or more (${HOW_TO_MAKE_A_KEY}); fewer only under npm start with everything on loopback`;
  if (variables.API_KEYS.some((key) => key.length < MIN_KEY_CHARACTERS)) {
    throw new ConfigError(`API_KEYS: of each key ${allowed}`);
  }
  if (storeIsRedis && token.length < MIN_KEY_CHARACTERS) throw new ConfigError(`UPSTASH_REDIS_REST_TOKEN: ${allowed}`);
}

/** A token and every session go that way, so it is encrypted unless it ends on this machine. */
function isStoreUrl(value: string): boolean {
  return /^https:\/\/[^\s/?#]+\S*$/.test(value) || isLoopbackUrl(value);
}

function isLoopbackUrl(value: string): boolean {
  return /^https?:\/\/\S+$/.test(value) && URL.canParse(value) && isLoopbackHost(new URL(value).hostname);
}

function parseRoom(variables: v.InferOutput<typeof WorkerVariables>): WorkerConfig["room"] {
  return {
    historyMessages: variables.ROOM_HISTORY_MESSAGES,
    maxMembers: variables.ROOM_MAX_MEMBERS,
    maxSeatsPerUser: variables.ROOM_MAX_SEATS_PER_USER,
    maxUnjoined: variables.ROOM_MAX_UNJOINED,
    maxUnjoinedPerSession: variables.ROOM_MAX_UNJOINED_PER_SESSION,
    ackTimeoutMs: variables.ROOM_ACK_TIMEOUT_SECONDS * 1000,
    sender: {
      messages: { perSecond: variables.ROOM_MESSAGES_PER_SECOND, burst: variables.ROOM_MESSAGE_BURST },
      bytes: { perSecond: variables.ROOM_BYTES_PER_SECOND, burst: variables.ROOM_BYTE_BURST },
      datagrams: { perSecond: variables.ROOM_DATAGRAMS_PER_SECOND, burst: variables.ROOM_DATAGRAM_BURST },
      datagramBytes: {
        perSecond: variables.ROOM_DATAGRAM_BYTES_PER_SECOND,
        burst: variables.ROOM_DATAGRAM_BYTE_BURST,
      },
      packets: { perSecond: variables.ROOM_PACKETS_PER_SECOND, burst: variables.ROOM_PACKET_BURST },
    },
    log: { ...DEFAULT_ROOM_LIMITS.log, maxNeededBytes: variables.ROOM_LOG_MAX_BYTES },
  };
}
