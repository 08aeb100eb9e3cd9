import { pino } from "pino";
import { ConfigError } from "../config/environment.ts";
import { describeError, oneLine } from "../config/log-line.ts";
import { onStopSignals } from "../config/stop-signals.ts";
import { parseRedisRestConfig } from "./config.ts";
import { StartError } from "./redis/primary.ts";
import { startRedisRest } from "./server.ts";

/** The program of `npm run redis-rest`. SIGTERM and SIGINT stop it; a second signal ends it at once. */
async function main(): Promise<void> {
  const config = parseRedisRestConfig(process.env);
  const log = pino({ name: "redis-rest" });
  for (const warning of config.warnings) log.warn(warning);
  const server = await startRedisRest(config, { log });
  log.info({ url: server.url }, "listening");
  const stop = async () => {
    await server.close();
    log.info("stopped");
  };
  onStopSignals(process, { first: stop, again: (exitCode) => process.exit(exitCode) });
}

function fail(error: unknown): void {
  process.stderr.write(`redis-rest: ${describe(error)}\n`);
  process.exit(1);
}

/** An error that the operator can correct shows its message; any other one shows where it was thrown, too. */
function describe(error: unknown): string {
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    return "REDIS_REST_PORT: the port is taken; choose another, or 0 for any free one";
  }
  const isOperators =
    error instanceof ConfigError || error instanceof StartError || (error instanceof Error && "syscall" in error);
  return isOperators ? oneLine(error.message) : describeError(error);
}

// Node would print the message with its line breaks.
process.on("uncaughtException", fail);
main().catch(fail);
