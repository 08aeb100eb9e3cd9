import ipaddr from "ipaddr.js";
import * as v from "valibot";
import { MAX_SERVICE_KEY_BYTES } from "../protocol/service-packets.ts";
import { ConfigError } from "./config-error.ts";
import type { TlsIdentity } from "./core/listener.ts";

/** A key that can be guessed is none: 32 characters, as `openssl rand -hex 16` prints them. */
const MIN_KEY_CHARACTERS = 32;

const KEYS = new RegExp(`^[\\x21-\\x2b\\x2d-\\x7e]{${MIN_KEY_CHARACTERS},${MAX_SERVICE_KEY_BYTES}}$`);

const Flag = v.optional(v.picklist(["", "0", "1"], "allowed is 0 or 1"), "0");

/** The variables that say who may ask the bridge, and whom it asks. */
export const AccessVariables = v.object({
  EDGE_URL: v.pipe(
    v.optional(v.string(), ""),
    v.check(isEdgeUrl, "needed is the edge's address, an http or https URL without a user, a query or a fragment"),
    v.check(isUnread, "allowed is https, and http only on loopback: the API key and the sessions go there"),
  ),
  API_KEY: v.pipe(
    v.optional(v.string(), ""),
    // RFC 9110 §5.5: what a header may carry; the edge splits its list at commas.
    v.regex(/^[\x21-\x2b\x2d-\x7e]+$/, "needed is one of the edge's API_KEYS: printable ASCII without space and comma"),
  ),
  BRIDGE_SERVICE_KEYS: v.pipe(
    v.optional(v.string(), ""),
    v.transform((list) => (list === "" ? [] : list.split(",").map((key) => key.trim()))),
    v.check(
      (keys) => keys.every((key) => KEYS.test(key)),
      `allowed are keys of ${MIN_KEY_CHARACTERS}..${MAX_SERVICE_KEY_BYTES} characters, printable ASCII without space, separated by commas`,
    ),
  ),
  BRIDGE_ALLOW_PLAINTEXT: Flag,
  BRIDGE_ALLOW_ANYONE: Flag,
});

/** Where a bridge listens, and whom it lets in. */
export interface Access {
  readonly variables: v.InferOutput<typeof AccessVariables>;
  readonly gameHost: string;
  readonly gameTls: TlsIdentity | undefined;
  /** Undefined without a player port. */
  readonly playerHost: string | undefined;
}

/**
 * Makes sure that beyond loopback the wire is encrypted, that not anyone may ask for anybody's session, and that no key can
 * be guessed, unless the operator says so. Returns what to warn of at each start.
 *
 * @throws ConfigError naming the first variable that must be set
 */
export function checkAccess({ variables, gameHost, gameTls, playerHost }: Access): readonly string[] {
  const { API_KEY, EDGE_URL, BRIDGE_SERVICE_KEYS, BRIDGE_ALLOW_ANYONE, BRIDGE_ALLOW_PLAINTEXT } = variables;
  const warnings: string[] = [];
  if (!isLoopback(gameHost)) {
    if (gameTls === undefined && BRIDGE_ALLOW_PLAINTEXT !== "1") {
      throw new ConfigError(
        `BRIDGE_HOST: ${gameHost} is beyond loopback, so set BRIDGE_TLS_CERT and BRIDGE_TLS_KEY, or BRIDGE_ALLOW_PLAINTEXT=1`,
      );
    }
    const asksForProof = gameTls?.clientCa !== undefined || BRIDGE_SERVICE_KEYS.length > 0;
    if (!asksForProof && BRIDGE_ALLOW_ANYONE !== "1") {
      throw new ConfigError(
        `BRIDGE_HOST: ${gameHost} is beyond loopback, and who asks there gets a session for anybody, so set BRIDGE_TLS_CLIENT_CA, BRIDGE_SERVICE_KEYS, or BRIDGE_ALLOW_ANYONE=1`,
      );
    }
    if (!asksForProof) {
      warnings.push("BRIDGE_ALLOW_ANYONE=1: who reaches the game-server port gets a session for anybody");
    }
    if (gameTls === undefined) {
      warnings.push("BRIDGE_ALLOW_PLAINTEXT=1: who reads the network of the game-server port reads keys and tokens");
    }
  }
  const hosts = [gameHost, playerHost ?? gameHost, new URL(EDGE_URL).hostname];
  if (API_KEY.length < MIN_KEY_CHARACTERS && !hosts.every(isLoopback)) {
    throw new ConfigError(
      `API_KEY: allowed are ${MIN_KEY_CHARACTERS} characters or more, unless BRIDGE_HOST, PLAYER_HOST and EDGE_URL are on loopback`,
    );
  }
  return warnings;
}

function isEdgeUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return false;
  return url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

/** Whether nobody on the way can read what is sent there. */
function isUnread(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === "https:" || (url !== null && isLoopback(url.hostname));
}

function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  // A URL's IPv6 host is in brackets.
  const address = host.replace(/^\[(.*)\]$/, "$1");
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback";
}
