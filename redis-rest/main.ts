import { pino } from "pino";
import { ConfigError, parseConfig } from "./config.ts";
import { StartError } from "./primary.ts";
import { startRedisRest } from "./server.ts";

/** The program of `npm run redis-rest`: configured by the environment, ended by SIGINT or SIGTERM. */
async function main(): Promise<void> {
  const config = parseConfig(process.env);
  const log = pino({ name: "redis-rest" });
  const server = await startRedisRest(config, log);
  log.info({ url: server.url }, "listening");
  const stop = async () => {
    await server.close();
    log.info("stopped");
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
}

main().catch((error: NodeJS.ErrnoException) => {
  process.stderr.write(`redis-rest: ${oneLine(error)}\n`);
  process.exitCode = 1;
});

function oneLine(error: NodeJS.ErrnoException): string {
  if (error instanceof ConfigError || error instanceof StartError) return error.message;
  if (error.code === "EADDRINUSE") return "REDIS_REST_PORT: the port is taken; choose another, or 0 for any free one";
  return error.message;
}
