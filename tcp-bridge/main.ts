import { startBridge } from "./bridge.ts";
import { parseBridgeConfig } from "./config.ts";
import { ConfigError } from "./config-error.ts";

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

/** What the operator can mend is one line; what only we can mend keeps its stack. */
function fail(error: unknown): void {
  process.stderr.write(`artoria bridge: ${describe(error)}\n`);
  process.exit(1);
}

function describe(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return String(error);
  // Of a system call: "listen EADDRINUSE: address already in use 127.0.0.1:7000".
  return "syscall" in error ? error.message : (error.stack ?? error.message);
}

main().catch(fail);
