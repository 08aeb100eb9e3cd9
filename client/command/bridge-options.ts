import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseWholeNumber } from "../../config/environment.ts";
import type { ConnectorOptions, TlsTrust } from "../connector.ts";
import type { ServiceClientOptions } from "../service-client.ts";

/** The options that say how to reach the bridge, as commander parses them. */
export interface BridgeOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly timeout: number;
  readonly serviceKey?: string;
}

/** Adds the options of {@link BridgeOptions} to a command. */
export function addBridgeOptions(command: Command): Command {
  return command
    .addOption(new Option("--host <host>", "the bridge's address").env("BRIDGE_HOST").default("127.0.0.1"))
    .addOption(
      new Option("--port <port>", "the bridge's game-server port")
        .env("BRIDGE_PORT")
        .default(7000)
        .argParser((text) => wholeNumber(text, 1, 65_535)),
    )
    .option("--tls", "use TLS; implied by the other --tls options")
    .option("--tls-ca <file>", "believe these authorities (PEM) instead of those that Node knows")
    .option("--tls-cert <file>", "show this certificate (PEM): mutual TLS")
    .option("--tls-key <file>", "the certificate's private key (PEM)")
    .addOption(
      // Without a parser: its error would print the key.
      new Option(
        "--service-key <key>",
        "show this key first; better in the environment, where `ps` does not show it",
      ).env("BRIDGE_SERVICE_KEY"),
    )
    .option("--timeout <ms>", "give up after this time", (text) => wholeNumber(text, 1, 3_600_000), 5000);
}

/**
 * The connector's options.
 *
 * @throws the system's error if a file cannot be read
 */
export function connectorOptions(options: BridgeOptions): ConnectorOptions {
  const { host, port, timeout, tls, tlsCa, tlsCert, tlsKey } = options;
  const usesTls = tls === true || tlsCa !== undefined || tlsCert !== undefined || tlsKey !== undefined;
  if (!usesTls) return { host, port, timeoutMs: timeout };
  const trust: TlsTrust = {
    ...(tlsCa === undefined ? {} : { ca: readFileSync(tlsCa, "utf8") }),
    ...(tlsCert === undefined ? {} : { cert: readFileSync(tlsCert, "utf8") }),
    ...(tlsKey === undefined ? {} : { key: readFileSync(tlsKey, "utf8") }),
  };
  return { host, port, timeoutMs: timeout, tls: trust };
}

/** The service client's options. */
export function clientOptions({ timeout, serviceKey }: BridgeOptions): ServiceClientOptions {
  return { responseTimeoutMs: timeout, ...(serviceKey ? { serviceKey } : {}) };
}

/**
 * A decimal number of `min`..`max`.
 *
 * @throws InvalidArgumentError saying what is allowed
 */
export function wholeNumber(text: string, min: number, max: number): number {
  const value = parseWholeNumber(text, min, max);
  if (value !== undefined) return value;
  throw new InvalidArgumentError(`Allowed is a whole number, ${min}..${max}.`);
}

/**
 * The number of a session.
 *
 * @throws InvalidArgumentError saying what is allowed
 */
export function sessidArgument(text: string): number {
  const value = wholeNumber(text, -(2 ** 31), 2 ** 31 - 1);
  if (value === 0) throw new InvalidArgumentError("0 is never a session.");
  return value;
}
