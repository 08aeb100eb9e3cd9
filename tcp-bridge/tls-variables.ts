import { readFileSync } from "node:fs";
import { createSecureContext, type SecureVersion } from "node:tls";
import { ConfigError } from "./config-error.ts";
import type { TlsIdentity } from "./core/listener.ts";

/** The variables of one TLS port: each a file's path, or the PEM text itself (it starts with `-----BEGIN`). */
export interface TlsVariables {
  readonly [name: string]: string | undefined;
}

/** The names of a TLS port's variables. */
export interface TlsVariableNames {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

/**
 * The TLS identity that the variables name, undefined if none is set.
 *
 * @throws ConfigError half of a pair, a file that cannot be read, or what is not PEM
 */
export function parseTls(
  variables: TlsVariables,
  names: TlsVariableNames,
  minVersion: SecureVersion,
): TlsIdentity | undefined {
  const cert = readPem(variables, names.cert);
  const key = readPem(variables, names.key);
  const clientCa = names.clientCa === undefined ? undefined : readPem(variables, names.clientCa);
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined;
  if (cert === undefined) throw new ConfigError(`${names.cert}: needed with the other TLS variables`);
  if (key === undefined) throw new ConfigError(`${names.key}: needed with ${names.cert}`);
  const identity: TlsIdentity = { cert, key, minVersion, ...(clientCa === undefined ? {} : { clientCa }) };
  try {
    createSecureContext({ cert, key });
  } catch {
    throw new ConfigError(`${names.cert}, ${names.key}: allowed are a certificate and its private key, both PEM`);
  }
  try {
    createSecureContext({ ca: clientCa });
  } catch {
    throw new ConfigError(`${names.clientCa}: allowed are certificates in PEM`);
  }
  return identity;
}

function readPem(variables: TlsVariables, name: string): string | undefined {
  const value = variables[name];
  if (value === undefined || value === "") return undefined;
  if (value.startsWith("-----BEGIN")) return value;
  try {
    return readFileSync(value, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "unreadable";
    throw new ConfigError(`${name}: allowed is PEM text or the path of a file with it; this path: ${code}`);
  }
}
