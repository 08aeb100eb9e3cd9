import { pino } from "pino";
import { ConfigError } from "../config/environment.ts";
import { parseRedisRestConfig } from "./config.ts";
import { StartError } from "./redis/primary.ts";
import { startRedisRest } from "./server.ts";

/** The program of `npm run redis-rest`: configured by the environment, ended by SIGINT or SIGTERM. */
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
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
}

function fail(error: unknown): void {
  process.stderr.write(`redis-rest: ${describe(error)}\n`);
  process.exit(1);
}

/** What the operator can mend in its own words, what only we can mend with its stack. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  if ("code" in error && error.code === "EADDRINUSE") {
    return "REDIS_REST_PORT: the port is taken; choose another, or 0 for any free one";
  }
  const isOperators = error instanceof ConfigError || error instanceof StartError || "syscall" in error;
  return oneLine(isOperators ? error.message : (error.stack ?? error.message));
}

/** No message begins a line of the log: a stack's lines are joined, other line breaks and control characters are escaped. */
function oneLine(text: string): string {
  return text.replace(/\n +at /g, " at ").replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

// Node would print the message as it is, and its line breaks with it.
process.on("uncaughtException", fail);
main().catch(fail);
