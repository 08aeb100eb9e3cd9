import { ConfigError } from "../config/environment.ts";
import { describeError, oneLine } from "../protocol/log-line.ts";
import { startBridge } from "./bridge.ts";
import { parseBridgeConfig } from "./config.ts";

/** The bridge as a program: `npm run bridge`. SIGTERM and SIGINT drain it; a second signal ends it at once. */
async function main(): Promise<void> {
  const bridge = await startBridge(parseBridgeConfig(process.env));
  let stopping = false;
  const stop = (): void => {
    const stopped = stopping ? bridge.close() : bridge.drain();
    stopping = true;
    stopped.then(() => process.exit(0), fail);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

/** One line: what the operator can mend in its own words, what only we can mend with its stack. */
function fail(error: unknown): void {
  // Of a system call: "listen EADDRINUSE: address already in use 127.0.0.1:7000".
  const isOperators = error instanceof ConfigError || (error instanceof Error && "syscall" in error);
  process.stderr.write(`artoria bridge: ${isOperators ? oneLine(error.message) : describeError(error)}\n`);
  process.exit(1);
}

// Node would print the message as it is, and its line breaks with it.
process.on("uncaughtException", fail);
main().catch(fail);
