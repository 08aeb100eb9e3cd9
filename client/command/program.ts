import { Command, CommanderError } from "commander";
import { oneLine } from "../../config/log-line.ts";
import { PACKAGE_VERSION, WIRE_PROTOCOL_VERSION } from "../../protocol/versions.ts";
import { ConnectionError } from "../connector.ts";
import { addAccountCommands } from "./account-commands.ts";
import { addChatCommand } from "./chat-command.ts";
import { ExitCode } from "./exit-code.ts";
import { addServiceCommands } from "./service-commands.ts";
import { addWatchCommand } from "./watch-command.ts";
import { addWebhookCommands } from "./webhook-commands.ts";

/**
 * Runs the command line with these arguments, as in `npm run artoria -- check 7`. It prints to the standard output and
 * standard error of the process, and sets its exit code: see {@link ExitCode}.
 */
export async function runArtoria(args: readonly string[]): Promise<void> {
  const program = new Command("artoria")
    .description("Asks the Artoria session checker through its TCP bridge; its edge, for accounts.")
    .version(`artoria ${PACKAGE_VERSION}, wire protocol ${WIRE_PROTOCOL_VERSION}`)
    .showHelpAfterError("(--help shows what is allowed)")
    // Commands that are added later inherit this setting.
    .exitOverride();
  addServiceCommands(program);
  addWatchCommand(program);
  addChatCommand(program);
  addAccountCommands(program);
  addWebhookCommands(program);
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    fail(error, args);
  }
}

function fail(error: unknown, args: readonly string[]): void {
  if (error instanceof CommanderError) {
    // Commander has printed its message already. It throws after --help too, which is no error.
    process.exitCode = error.exitCode === 0 ? ExitCode.Ok : ExitCode.Error;
    return;
  }
  const message = oneLine(error instanceof Error ? error.message : String(error));
  const advice = error instanceof ConnectionError ? adviceFor(error, args) : "";
  process.stderr.write(`artoria: ${message}${advice}\n`);
  process.exitCode = ExitCode.Error;
}

/** What one does about it. */
function adviceFor(error: ConnectionError, args: readonly string[]): string {
  // `npm start` may have other ports.
  if (error.message.includes("ECONNREFUSED")) {
    return "; --host and --port, or BRIDGE_HOST and BRIDGE_PORT, say where the bridge is";
  }
  // A port that uses TLS takes a packet for the beginning of a handshake, and waits for the rest.
  const isPlain = !args.some((arg) => arg.startsWith("--tls"));
  return error.code === "timeout" && isPlain ? "; a port that uses TLS needs --tls" : "";
}
