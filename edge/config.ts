import { existsSync, readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import * as v from "valibot";
import {
  ConfigError,
  type Environment,
  Host,
  parseAll,
  parseEnvironment,
  port,
  wholeNumber,
  withoutEmpty,
} from "../config/environment.ts";
import { isLoopbackHost } from "../config/loopback.ts";
import { parseWorkerConfig, WorkerVariables } from "../worker/config.ts";
import { HasherVariables, parseHashQueueLimits } from "../worker/password-hasher/password-service.ts";

/** What `npm run edge` runs, from the environment (docs/configuration.md). */
export interface EdgeConfig {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** PEM; undefined: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Only these addresses and networks get answers, between commas; undefined: all. */
  readonly peers: string | undefined;
  readonly state: EdgeState;
  /** Variables and secrets of the worker and of the password hasher. */
  readonly variables: Readonly<Record<string, string>>;
  /** Certificates of authorities in PEM, which are trusted beside those that browsers trust. */
  readonly trustedCertificates: readonly string[];
  /** For how long it says on `/readyz` that it drains before it stops. */
  readonly drainMs: number;
}

/** Where the edge's Durable Objects and accounts are. */
export type EdgeState =
  /** In this folder, which no other edge may use; undefined: in a folder that is removed at the stop. */
  | { readonly kind: "own"; readonly directory: string | undefined }
  /** At another edge, to which requests that need them are passed. */
  | { readonly kind: "primary"; readonly url: string };

/** PEM text, or the path of a file with it. */
const Pem = v.optional(
  v.pipe(
    v.string(),
    v.rawTransform(({ dataset: { value }, addIssue, NEVER }) => {
      if (value.startsWith("-----BEGIN")) return value;
      try {
        return readFileSync(value, "utf8");
      } catch (error) {
        const code = error instanceof Error && "code" in error ? error.code : "unreadable";
        addIssue({ message: `allowed is PEM text or the path of a file with it; this path: ${code}` });
        return NEVER;
      }
    }),
  ),
);

/** What Node itself reads when a program starts: a file with certificates of authorities, trusted beside those that browsers trust. */
export const CertificateAuthorities = v.optional(
  v.pipe(
    v.string(),
    v.transform((path) => {
      // Node has warned of a file that it cannot read.
      const pem = existsSync(path) ? readFileSync(path, "utf8") : "";
      return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    }),
  ),
  "",
);

/** All of a stop takes 10 s at most (edge.ts). */
const MAX_DRAIN_MS = 5000;

/** Every variable that `npm run edge` reads itself. */
export const EdgeVariables = v.object({
  EDGE_HOST: v.optional(Host, "127.0.0.1"),
  EDGE_PORT: port(8787),
  EDGE_TLS_CERT: Pem,
  EDGE_TLS_KEY: Pem,
  STATE_DIR: v.optional(v.string()),
  EDGE_DRAIN_MS: wholeNumber(0, MAX_DRAIN_MS, 3000),
  NODE_EXTRA_CA_CERTS: CertificateAuthorities,
  EDGE_PRIMARY_URL: v.optional(
    v.pipe(
      v.string(),
      v.check(isOrigin, "allowed is the primary edge's address, an http or https URL without a path"),
      v.check(isPrivateUrl, "allowed is https, and http only on loopback: keys and sessions go there"),
    ),
  ),
});

/** The worker's variables: all that its schemas name, but what this program knows itself. */
const WORKER_VARIABLES = Object.keys({ ...WorkerVariables.entries, ...HasherVariables.entries }).filter(
  (name) => name !== "LOOPBACK_ONLY",
);

/**
 * Parses the environment of `npm run edge`; an empty variable is an unset one.
 *
 * @param defaults the variables of wrangler.toml's production environment
 * @throws ConfigError naming the variables and what is allowed
 */
export function parseEdgeConfig(environment: Environment, defaults: Readonly<Record<string, string>>): EdgeConfig {
  const given = withoutEmpty(environment);
  const workerVariables: Record<string, string> = { ...defaults, ...only(WORKER_VARIABLES, given) };
  const [{ variables, state, tls }, { store, trustedProxies }] = parseAll(
    () => parseOwnVariables(given),
    () => parseWorkerConfig(workerVariables),
    () => parseHashQueueLimits(workerVariables),
  );
  if (state.kind === "primary" && store.kind === "embedded") {
    throw new ConfigError('EDGE_PRIMARY_URL: needs SESSION_STORE = "redis", which both edges ask');
  }
  const isOpen = tls !== undefined || isLoopbackHost(variables.EDGE_HOST);
  if (!isOpen && trustedProxies.length === 0) {
    throw new ConfigError(
      "EDGE_HOST: beyond loopback EDGE_TLS_CERT and EDGE_TLS_KEY are needed, or TRUSTED_PROXIES, from which alone plain HTTP is then accepted",
    );
  }
  return {
    host: variables.EDGE_HOST,
    port: variables.EDGE_PORT,
    tls,
    peers: isOpen ? undefined : workerVariables["TRUSTED_PROXIES"],
    state,
    variables: workerVariables,
    trustedCertificates: variables.NODE_EXTRA_CA_CERTS,
    drainMs: variables.EDGE_DRAIN_MS,
  };
}

type EdgeValues = v.InferOutput<typeof EdgeVariables>;

function parseOwnVariables(environment: Environment) {
  const variables = parseEnvironment(EdgeVariables, environment);
  const [state, tls] = parseAll(
    () => parseState(variables),
    () => parseTls(variables),
  );
  return { variables, state, tls };
}

function parseState({ STATE_DIR: directory, EDGE_PRIMARY_URL: url }: EdgeValues): EdgeState {
  if (url !== undefined) {
    if (directory !== undefined) throw new ConfigError("STATE_DIR: an edge with EDGE_PRIMARY_URL keeps nothing");
    return { kind: "primary", url: new URL(url).origin };
  }
  if (directory === undefined) {
    throw new ConfigError(
      "STATE_DIR: needed is a folder for rooms and accounts, or EDGE_PRIMARY_URL, the edge that has them",
    );
  }
  return { kind: "own", directory };
}

function parseTls({ EDGE_TLS_CERT: cert, EDGE_TLS_KEY: key }: EdgeValues): EdgeConfig["tls"] {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new ConfigError("EDGE_TLS_CERT, EDGE_TLS_KEY: needed are both");
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`EDGE_TLS_CERT, EDGE_TLS_KEY: not a certificate and its key in PEM (${message})`);
  }
  return { cert, key };
}

function isOrigin(value: string): boolean {
  return /^https?:\/\/[^\s/?#@]+\/?$/.test(value) && URL.canParse(value);
}

function isPrivateUrl(value: string): boolean {
  return !value.startsWith("http:") || isLoopbackHost(URL.parse(value)?.hostname ?? "");
}

function only(names: readonly string[], environment: Environment): Record<string, string> {
  const entries = names.map((name) => [name, environment[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
