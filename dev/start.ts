import { oneLine } from "../protocol/log-line.ts";
import { banner } from "./banner.ts";
import { checkParts, parseStackConfig } from "./config.ts";
import type { Stack } from "./stack.ts";

/** The program of `npm start`: the whole stack in this process and its children, until SIGINT or SIGTERM. */
async function main(): Promise<void> {
  // Sessions and accounts are written to STATE_DIR, by this process and by workerd: for the owner alone.
  process.umask(0o077);
  const config = parseStackConfig(process.env);
  checkParts(config);
  // Loaded now, because it takes seconds and a wrong variable should be reported at once.
  const { startStack } = await import("./stack.ts");
  const stack = await startStack(config);
  process.stdout.write(banner(config, stack));
  stopOnSignal(stack);
}

function stopOnSignal(stack: Stack): void {
  let stopping = false;
  const stop = async () => {
    // A second Ctrl-C while it drains changes nothing.
    if (stopping) return;
    stopping = true;
    process.stdout.write("\nstopping\n");
    await stack.close();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    // Miniflare would end the process at once; the bridge drains first. Miniflare's exit hook stays: it ends workerd.
    process.removeAllListeners(signal);
    process.on(signal, stop);
  }
}

function fail(error: unknown): void {
  process.stderr.write(`npm start: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  process.exit(1);
}

// Node would print the message as it is, and its line breaks with it.
process.on("uncaughtException", fail);
main().catch(fail);
