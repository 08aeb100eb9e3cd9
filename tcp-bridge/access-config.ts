import { readFileSync } from "node:fs";
import type { SecureVersion } from "node:tls";
import * as v from "valibot";
import { type AddressRange, AddressRanges } from "../config/address-ranges.ts";
import { ConfigError, flag } from "../config/environment.ts";
import { isLoopbackHost, MIN_KEY_CHARACTERS } from "../config/loopback.ts";
import { MAX_SERVICE_KEY_BYTES } from "../protocol/service-packets.ts";
import { faultOfIdentity, type TlsFiles, type TlsIdentity } from "./core/tls-identity.ts";

const SERVICE_KEY = new RegExp(`^[\\x21-\\x2b\\x2d-\\x7e]{${MIN_KEY_CHARACTERS},${MAX_SERVICE_KEY_BYTES}}$`);

interface PemSource {
  readonly text: string;
  /** The file of the text; absent if the variable holds the text itself. */
  readonly path?: string;
}

/** PEM text, or the path of a file with it; an empty variable is an unset one. */
const Pem = v.optional(
  v.pipe(
    v.string(),
    v.rawTransform(({ dataset: { value }, addIssue, NEVER }): PemSource | undefined => {
      if (value === "") return undefined;
      if (value.startsWith("-----BEGIN")) return { text: value };
      try {
        return { text: readFileSync(value, "utf8"), path: value };
      } catch (error) {
        const code = error instanceof Error && "code" in error ? error.code : "unreadable";
        addIssue({ message: `allowed is PEM text or the path of a file with it; this path: ${code}` });
        return NEVER;
      }
    }),
  ),
);

/** The ports that may be behind proxies. */
const PROXIED_PORTS = ["game", "player", "check"] as const;
export type ProxiedPort = (typeof PROXIED_PORTS)[number];

/** 1: all of them. */
const ProxiedPorts = v.pipe(
  v.string(),
  v.rawTransform(({ dataset: { value }, addIssue, NEVER }): readonly ProxiedPort[] => {
    if (value === "" || value === "0") return [];
    if (value === "1") return PROXIED_PORTS;
    const ports = value.split(",").map((name) => PROXIED_PORTS.find((port) => port === name.trim()));
    if (ports.every((port) => port !== undefined)) return ports;
    addIssue({ message: `allowed is 0, 1, or some of ${PROXIED_PORTS.join(",")}` });
    return NEVER;
  }),
);

/** The variables that say who may ask the bridge, and which edge it asks. */
export const AccessVariables = v.object({
  EDGE_URL: v.pipe(
    v.optional(v.string(), ""),
    v.check(isEdgeUrl, "needed is the edge's address, an http or https URL without a user, a query or a fragment"),
    v.check(isPrivateUrl, "allowed is https, and http only on loopback: the API key and the sessions go there"),
  ),
  API_KEY: v.pipe(
    v.optional(v.string(), ""),
    // RFC 9110 §5.5: what a header may carry; the edge splits its list at commas.
    v.regex(/^[\x21-\x2b\x2d-\x7e]+$/, "needed is one of the edge's API_KEYS: printable ASCII without space and comma"),
  ),
  BRIDGE_SERVICE_KEYS: v.optional(
    v.pipe(
      v.string(),
      // Unlike List it keeps an empty item, which is refused: a key was meant to stand there.
      v.transform((list) => (list === "" ? [] : list.split(",").map((key) => key.trim()))),
      v.check(
        (keys) => keys.every((key) => SERVICE_KEY.test(key)),
        `allowed are keys of ${MIN_KEY_CHARACTERS}..${MAX_SERVICE_KEY_BYTES} characters, printable ASCII without space, separated by commas`,
      ),
    ),
    "",
  ),
  BRIDGE_TLS_CERT: Pem,
  BRIDGE_TLS_KEY: Pem,
  BRIDGE_TLS_CLIENT_CA: Pem,
  PLAYER_TLS_CERT: Pem,
  PLAYER_TLS_KEY: Pem,
  CHECK_TLS_CERT: Pem,
  CHECK_TLS_KEY: Pem,
  CHECK_TLS_CLIENT_CA: Pem,
  BRIDGE_ALLOW_PLAINTEXT: flag(),
  BRIDGE_ALLOW_ANYONE: flag(),
  CHECK_ALLOW_PLAINTEXT: flag(),
  BRIDGE_PROXY_PROTOCOL: v.optional(ProxiedPorts, "0"),
  TRUSTED_PROXIES: v.optional(AddressRanges, ""),
});

type AccessValues = v.InferOutput<typeof AccessVariables>;

/** Game servers and proxies run older TLS stacks than players do; 1.2 is what RFC 9325 §3.1.1 still allows. */
const SERVER_TLS_MIN_VERSION = "TLSv1.2";

/** Players choose the TLS stack of their client: nothing older is accepted (docs/wire-protocol.md). */
const PLAYER_TLS_VERSION = "TLSv1.3";

/**
 * The game port's certificate, undefined if no TLS variable of it is set. With BRIDGE_TLS_CLIENT_CA, TLS is mutual.
 *
 * @throws ConfigError half of a pair, or what is not PEM
 */
export function parseGameTls(variables: AccessValues): TlsIdentity | undefined {
  const { BRIDGE_TLS_CERT: cert, BRIDGE_TLS_KEY: key, BRIDGE_TLS_CLIENT_CA: clientCa } = variables;
  return tlsIdentity("BRIDGE", { cert, key, clientCa }, SERVER_TLS_MIN_VERSION);
}

/** As {@link parseGameTls}, of the player port. */
export function parsePlayerTls({ PLAYER_TLS_CERT: cert, PLAYER_TLS_KEY: key }: AccessValues): TlsIdentity | undefined {
  return tlsIdentity("PLAYER", { cert, key, clientCa: undefined }, PLAYER_TLS_VERSION);
}

/** As {@link parseGameTls}, of the check port. */
export function parseCheckTls(variables: AccessValues): TlsIdentity | undefined {
  const { CHECK_TLS_CERT: cert, CHECK_TLS_KEY: key, CHECK_TLS_CLIENT_CA: clientCa } = variables;
  return tlsIdentity("CHECK", { cert, key, clientCa }, SERVER_TLS_MIN_VERSION);
}

interface PemSources {
  readonly cert: PemSource | undefined;
  readonly key: PemSource | undefined;
  readonly clientCa: PemSource | undefined;
}

function tlsIdentity(
  port: "BRIDGE" | "PLAYER" | "CHECK",
  { cert, key, clientCa }: PemSources,
  minVersion: SecureVersion,
): TlsIdentity | undefined {
  const names = { cert: `${port}_TLS_CERT`, key: `${port}_TLS_KEY`, clientCa: `${port}_TLS_CLIENT_CA` };
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined;
  if (cert === undefined) throw new ConfigError(`${names.cert}: needed with the other TLS variables`);
  if (key === undefined) throw new ConfigError(`${names.key}: needed with ${names.cert}`);
  const texts = { cert: cert.text, key: key.text, ...(clientCa && { clientCa: clientCa.text }) };
  switch (faultOfIdentity(texts)) {
    case "pair":
      throw new ConfigError(`${names.cert}, ${names.key}: allowed are a certificate and its private key, both PEM`);
    case "client_ca":
      throw new ConfigError(`${names.clientCa}: allowed are certificates in PEM`);
    default: {
      const files = filesOf({ cert, key, clientCa });
      return { ...texts, minVersion, ...(Object.keys(files).length > 0 && { files }) };
    }
  }
}

function filesOf(sources: PemSources): TlsFiles {
  const paths = Object.entries(sources).map(([name, source]: [string, PemSource | undefined]) => [name, source?.path]);
  return Object.fromEntries(paths.filter(([, path]) => path !== undefined));
}

/**
 * The proxies of a port, undefined if its clients connect themselves.
 *
 * @throws ConfigError no proxy is trusted
 */
export function parseProxies(
  port: ProxiedPort,
  { BRIDGE_PROXY_PROTOCOL, TRUSTED_PROXIES }: AccessValues,
): readonly AddressRange[] | undefined {
  if (!BRIDGE_PROXY_PROTOCOL.includes(port)) return undefined;
  if (TRUSTED_PROXIES.length > 0) return TRUSTED_PROXIES;
  throw new ConfigError("TRUSTED_PROXIES: needed with BRIDGE_PROXY_PROTOCOL, the addresses of the proxies");
}

/** Where a bridge listens, and how. */
export interface Access {
  readonly variables: AccessValues;
  readonly gameHost: string;
  readonly gameTls: TlsIdentity | undefined;
  /** Undefined without a player port. */
  readonly playerHost: string | undefined;
  /** Undefined without a check port. */
  readonly checkHost: string | undefined;
  readonly checkTls: TlsIdentity | undefined;
}

/**
 * Makes sure that beyond loopback the connections are encrypted, callers prove who they are, and no key can be guessed,
 * unless the operator says so. Returns the warnings to log at each start.
 *
 * @throws ConfigError naming the first variable that must be set
 */
export function checkAccess({ variables, gameHost, gameTls, playerHost, ...check }: Access): readonly string[] {
  const { API_KEY, EDGE_URL } = variables;
  const warnings = [...checkGameAccess(variables, gameHost, gameTls), ...checkCheckAccess(variables, check)];
  const hosts = [gameHost, playerHost ?? gameHost, check.checkHost ?? gameHost, new URL(EDGE_URL).hostname];
  if (API_KEY.length < MIN_KEY_CHARACTERS && !hosts.every(isLoopbackHost)) {
    throw new ConfigError(
      `API_KEY: allowed are ${MIN_KEY_CHARACTERS} characters or more, unless BRIDGE_HOST, PLAYER_HOST, CHECK_HOST and EDGE_URL are on loopback`,
    );
  }
  return warnings;
}

/** Why clients of a port may be on other machines, undefined if they are on this one. */
function exposure(
  { BRIDGE_PROXY_PROTOCOL }: AccessValues,
  port: ProxiedPort,
  [variable, host]: readonly [variable: string, host: string],
): string | undefined {
  if (!isLoopbackHost(host)) return `${variable}: ${host} is beyond loopback`;
  // A proxy on this machine lets others in, which is what it is for.
  return BRIDGE_PROXY_PROTOCOL.includes(port)
    ? `BRIDGE_PROXY_PROTOCOL: the clients of the ${port} port's proxies may be beyond loopback`
    : undefined;
}

function checkGameAccess(variables: AccessValues, gameHost: string, gameTls: TlsIdentity | undefined): string[] {
  const { BRIDGE_SERVICE_KEYS, BRIDGE_ALLOW_ANYONE, BRIDGE_ALLOW_PLAINTEXT } = variables;
  const reason = exposure(variables, "game", ["BRIDGE_HOST", gameHost]);
  if (reason === undefined) return [];
  if (gameTls === undefined && !BRIDGE_ALLOW_PLAINTEXT) {
    throw new ConfigError(`${reason}, so set BRIDGE_TLS_CERT and BRIDGE_TLS_KEY, or BRIDGE_ALLOW_PLAINTEXT=1`);
  }
  const asksForProof = gameTls?.clientCa !== undefined || BRIDGE_SERVICE_KEYS.length > 0;
  if (!asksForProof && !BRIDGE_ALLOW_ANYONE) {
    throw new ConfigError(
      `${reason}, where any client could issue a session for any user, so set BRIDGE_TLS_CLIENT_CA, BRIDGE_SERVICE_KEYS, or BRIDGE_ALLOW_ANYONE=1`,
    );
  }
  const warnings: string[] = [];
  if (!asksForProof) {
    warnings.push(
      "BRIDGE_ALLOW_ANYONE=1: any client that reaches the game-server port can issue a session for any user",
    );
  }
  if (gameTls === undefined) {
    warnings.push("BRIDGE_ALLOW_PLAINTEXT=1: keys and tokens cross the network of the game-server port unencrypted");
  }
  return warnings;
}

/** At the check port a client proves nothing but its session: the token is the credential. */
function checkCheckAccess(
  variables: AccessValues,
  { checkHost, checkTls }: Pick<Access, "checkHost" | "checkTls">,
): string[] {
  if (checkHost === undefined || checkTls !== undefined) return [];
  const reason = exposure(variables, "check", ["CHECK_HOST", checkHost]);
  if (reason === undefined) return [];
  if (variables.CHECK_ALLOW_PLAINTEXT) {
    return ["CHECK_ALLOW_PLAINTEXT=1: session tokens cross the network of the check port unencrypted"];
  }
  throw new ConfigError(`${reason}, so set CHECK_TLS_CERT and CHECK_TLS_KEY, or CHECK_ALLOW_PLAINTEXT=1`);
}

function isEdgeUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return false;
  return url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

/** Whether nobody on the way can read what is sent there. */
function isPrivateUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === "https:" || (url !== null && isLoopbackHost(url.hostname));
}
