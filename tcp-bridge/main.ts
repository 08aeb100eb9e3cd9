import { ConfigError } from "../config/environment.ts";
import { describeError, oneLine } from "../config/log-line.ts";
import { onStopSignals } from "../config/stop-signals.ts";
import { startBridge } from "./bridge.ts";
import { parseBridgeConfig } from "./config.ts";

/**
 * The bridge as a program: `npm run bridge`. SIGTERM and SIGINT drain it; a second signal ends it at once. SIGHUP has it read the files
 * of its certificates.
 */
async function main(): Promise<void> {
  const bridge = await startBridge(parseBridgeConfig(process.env));
  const exitAfter = (stopped: Promise<void>): void => {
    stopped.then(() => process.exit(0), fail);
  };
  onStopSignals(process, {
    first: () => exitAfter(bridge.drain()),
    again: () => exitAfter(bridge.close()),
  });
  const { reloadCertificates } = bridge;
  // On Windows SIGHUP says that the console is closed.
  if (reloadCertificates !== undefined && process.platform !== "win32") {
    process.on("SIGHUP", () => void reloadCertificates());
  }
}

/** Writes one line and exits: the message alone if the operator can correct the error, otherwise with its stack. */
function fail(error: unknown): void {
  // A failed system call: "listen EADDRINUSE: address already in use 127.0.0.1:7000".
  const isOperators = error instanceof ConfigError || (error instanceof Error && "syscall" in error);
  process.stderr.write(`artoria bridge: ${isOperators ? oneLine(error.message) : describeError(error)}\n`);
  process.exit(1);
}

// By default Node prints the message unescaped, with its line breaks.
process.on("uncaughtException", fail);
main().catch(fail);
