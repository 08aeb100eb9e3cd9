import { isIPv4 } from "node:net";
import { type Command, InvalidArgumentError } from "commander";
import type { ServiceRequest, ServiceResponse } from "../../protocol/session-request.ts";
import { formatToken, parseToken } from "../../protocol/session-token.ts";
import { Status, statusName } from "../../protocol/status-codes.ts";
import { Connector } from "../connector.ts";
import { ServiceClient } from "../service-client.ts";
import {
  addBridgeOptions,
  type BridgeOptions,
  clientOptions,
  connectorOptions,
  sessidArgument,
} from "./bridge-options.ts";
import { ExitCode } from "./exit-code.ts";

type CommandOptions = BridgeOptions & { readonly json?: boolean };
type UserOptions = CommandOptions & { readonly user: string; readonly ip?: string };

/** Adds the commands that send one request to the game-server port and print the verdict. */
export function addServiceCommands(program: Command): void {
  service(program, "check", "does the session live? renews it")
    .argument("<sessid>", "the session's number", sessidArgument)
    .action(async (id: number, options: CommandOptions) => ask(options, { kind: "check", sessid: id }));

  service(program, "check-access", "does the session live, and may it use the resource?")
    .argument("<sessid>", "the session's number", sessidArgument)
    .argument("<resource>", "the resource's name")
    .action(async (id: number, resource: string, options: CommandOptions) =>
      ask(options, { kind: "checkAccess", sessid: id, resource }),
    );

  service(program, "identify", "whose token is this, and may its session use the resource? renews it")
    .argument("<token>", "a session token, as issue prints it")
    .option("--resource <resource>", "the resource's name")
    .action(async (token: string, options: CommandOptions & { readonly resource?: string }) => {
      const { resource } = options;
      await ask(options, { kind: "identify", token: tokenBytes(token), ...(resource !== undefined && { resource }) });
    });

  service(program, "register", "create a session with this number, or refresh it")
    .argument("<sessid>", "the session's number", sessidArgument)
    .requiredOption("--user <user>", "whose session it is")
    .option("--ip <ip>", "the player's IPv4 address", ipv4)
    .action(async (id: number, options: UserOptions) =>
      ask(options, { kind: "register", sessid: id, user: options.user, ip: options.ip ?? null }),
    );

  service(program, "delete", "end the session")
    .argument("<sessid>", "the session's number", sessidArgument)
    .requiredOption("--user <user>", "whose session it is")
    .action(async (id: number, options: UserOptions) =>
      ask(options, { kind: "delete", sessid: id, user: options.user }),
    );

  service(program, "count", "how many sessions and users are there?").action(async (options: CommandOptions) =>
    ask(options, { kind: "count" }),
  );

  service(program, "issue", "create a session with a random number; prints its token")
    .requiredOption("--user <user>", "whose session it is")
    .option("--ip <ip>", "the player's IPv4 address", ipv4)
    .action(async (options: UserOptions) =>
      ask(options, { kind: "issue", user: options.user, ip: options.ip ?? null }),
    );
}

function service(program: Command, name: string, description: string): Command {
  const command = program.command(name).description(description);
  return addBridgeOptions(command).option("--json", "print one JSON object");
}

async function ask(options: CommandOptions, request: ServiceRequest): Promise<void> {
  const connector = new Connector(connectorOptions(options));
  const client = await ServiceClient.open({ connector, ...clientOptions(options) });
  try {
    const response = await client.request(request);
    process.stdout.write(`${options.json === true ? JSON.stringify(asJson(response)) : asText(response)}\n`);
    process.exitCode = response.status === Status.Ok ? ExitCode.Ok : ExitCode.Verdict;
  } finally {
    client.close();
  }
}

/** The fields of the response packet. */
function asJson(response: ServiceResponse): object {
  const status = statusName(response.status);
  if (response.status !== Status.Ok) return { status };
  if (response.kind === "count") return { status, sessions: response.sessions, users: response.users };
  if (response.kind === "issue") return { status, sessid: response.sessid, token: formatToken(response.token) };
  if (response.kind === "identify") return { status, ...response.session };
  return { status };
}

function asText(response: ServiceResponse): string {
  return Object.entries(asJson(response))
    .map(([name, value]) => (name === "status" ? value : `${name} ${value}`))
    .join("\n");
}

/** Not a parser of Commander's: its errors contain the argument, and this one may be a token with a typing error. */
function tokenBytes(text: string): Uint8Array<ArrayBuffer> {
  const token = parseToken(text);
  if (token === undefined) throw new Error("the token is not 27 characters of base64url");
  return token;
}

function ipv4(text: string): string {
  if (isIPv4(text)) return text;
  throw new InvalidArgumentError("Allowed is an IPv4 address.");
}
