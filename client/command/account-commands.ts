import { once } from "node:events";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { type Command, InvalidArgumentError, Option } from "commander";
import { isLoopbackHost } from "../../config/loopback.ts";
import { AccountClient, type AccountVerdict, type AccountView } from "../account-client.ts";
import { printable } from "../chat/plain-text.ts";
import { wholeNumber } from "./bridge-options.ts";
import { ExitCode } from "./exit-code.ts";

interface EdgeOptions {
  readonly edge: URL;
  readonly timeout: number;
  readonly json?: boolean;
}

type GrantOptions = EdgeOptions & { readonly default?: boolean; readonly none?: boolean };

/** Adds `accounts` and its commands, which call the edge over HTTP with the API_KEY of the environment. */
export function addAccountCommands(program: Command): void {
  const accounts = program
    .command("accounts")
    .description("browser accounts: list, create, grant, disable, enable, delete; the key is API_KEY");

  edgeCommand(accounts, "list", "name, state and grants of each account").action(list);

  edgeCommand(accounts, "create", "create an account; its password is the first line of the standard input")
    .argument("<name>", "the account's name")
    .action(async (name: string, options: EdgeOptions) => {
      const client = clientOf(options);
      report(options, await client.create(name, await readPassword()));
    });

  edgeCommand(accounts, "grant", "set all that an account's sessions may enter; ends its sessions")
    .argument("<name>", "the account's name")
    .argument("[grants...]", "exact resources, or prefixes that end in *, in place of those it has")
    .option("--default", "what the edge's WEB_GRANTS says")
    .option("--none", "nothing")
    .action(async (name: string, grants: string[], options: GrantOptions) => {
      const ways = [grants.length > 0, options.default === true, options.none === true].filter(Boolean).length;
      if (ways !== 1) throw new Error("grant: needed is one of grants, --default and --none");
      report(options, await clientOf(options).change(name, { grants: options.default === true ? null : grants }));
    });

  edgeCommand(accounts, "disable", "let nobody log in with an account; ends its sessions")
    .argument("<name>", "the account's name")
    .action(async (name: string, options: EdgeOptions) =>
      report(options, await clientOf(options).change(name, { disabled: true })),
    );

  edgeCommand(accounts, "enable", "let its owner log in again")
    .argument("<name>", "the account's name")
    .action(async (name: string, options: EdgeOptions) =>
      report(options, await clientOf(options).change(name, { disabled: false })),
    );

  edgeCommand(accounts, "delete", "delete an account; ends its sessions, and frees its name")
    .argument("<name>", "the account's name")
    .action(async (name: string, options: EdgeOptions) => report(options, await clientOf(options).delete(name)));
}

function edgeCommand(accounts: Command, name: string, description: string): Command {
  return accounts
    .command(name)
    .description(description)
    .addOption(
      new Option("--edge <url>", "the edge's URL; https beyond loopback")
        .env("EDGE_URL")
        .default(new URL("http://127.0.0.1:8787"), "http://127.0.0.1:8787")
        .argParser(edgeUrl),
    )
    .option("--timeout <ms>", "give up after this time", (text) => wholeNumber(text, 1, 3_600_000), 10_000)
    .option("--json", "print one JSON object");
}

async function list(options: EdgeOptions): Promise<void> {
  const found: AccountView[] = [];
  for await (const account of clientOf(options).list()) {
    if (options.json === true) found.push(account);
    else process.stdout.write(`${lineOf(account)}\n`);
  }
  if (options.json === true) process.stdout.write(`${JSON.stringify({ status: "Ok", accounts: found })}\n`);
}

function report(options: EdgeOptions, verdict: AccountVerdict<AccountView | { readonly sessionsEnded: number }>): void {
  process.exitCode = verdict.status === "Ok" ? ExitCode.Ok : ExitCode.Verdict;
  const { status } = verdict;
  const body = verdict.status === "Ok" ? verdict.body : undefined;
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ status, ...body })}\n`);
    return;
  }
  const lines = [
    status,
    ...(body && "name" in body ? [lineOf(body)] : []),
    ...(body && "sessionsEnded" in body ? [`sessions ended ${body.sessionsEnded}`] : []),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function lineOf({ name, disabled, grants }: AccountView): string {
  const entered = grants === null ? "as WEB_GRANTS says" : grants.join(" ") || "nothing";
  return printable(`${name}  ${disabled ? "disabled" : "enabled"}  ${entered}`);
}

function clientOf({ edge, timeout }: EdgeOptions): AccountClient {
  const apiKey = process.env["API_KEY"] || (isLoopbackHost(edge.hostname) ? "dev-key" : undefined);
  if (apiKey === undefined) throw new Error("API_KEY: needed in the environment beyond loopback");
  return new AccountClient({ edge, apiKey, timeoutMs: timeout });
}

function edgeUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new InvalidArgumentError("Allowed is an http or https URL.");
  }
  return url;
}

/** Reads the password from the first line of the standard input; a terminal shows a prompt and no characters. */
async function readPassword(): Promise<string> {
  const terminal = process.stdin.isTTY === true;
  if (terminal) process.stderr.write("Password: ");
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: unseen, terminal });
  try {
    const [line] = await Promise.race([once(lines, "line"), once(lines, "close")]);
    if (terminal) process.stderr.write("\n");
    if (typeof line !== "string") throw new Error("create: needed is a password on the standard input");
    return line;
  } finally {
    lines.close();
  }
}
