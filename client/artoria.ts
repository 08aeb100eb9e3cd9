import { Command, CommanderError } from "commander";
import { oneLine } from "../protocol/log-line.ts";
import { addAccountCommands } from "./command/account-commands.ts";
import { addChatCommand } from "./command/chat-command.ts";
import { ExitCode } from "./command/exit-code.ts";
import { addServiceCommands } from "./command/service-commands.ts";

/** The command line: `npm run artoria -- check 7`. Exit codes: 0 Ok, 1 a verdict other than Ok, 2 an error. */
async function main(): Promise<void> {
  const program = new Command("artoria")
    .description("Asks the Artoria session checker through its TCP bridge; its edge, for accounts.")
    .showHelpAfterError("(--help shows what is allowed)")
    // Settings are inherited by the commands that are added later.
    .exitOverride();
  addServiceCommands(program);
  addChatCommand(program);
  addAccountCommands(program);
  await program.parseAsync();
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Commander has printed what it has to say; its help is no error.
    process.exitCode = error.exitCode === 0 ? ExitCode.Ok : ExitCode.Error;
    return;
  }
  process.stderr.write(`artoria: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  process.exitCode = ExitCode.Error;
}

main().catch(fail);
