import { once } from "node:events";
import { type Logger, pino } from "pino";
import { isLoopbackHost } from "../config/loopback.ts";
import type { RedisRestConfig } from "./config.ts";
import { createHttpServer, type HttpServerOptions } from "./http/http-server.ts";
import { createRoutes } from "./http/routes.ts";
import { connectRedis } from "./redis/redis-service.ts";

export interface RedisRest {
  readonly url: string;
  readonly port: number;
  /** Responds to the requests in flight, then closes the port and the connections to Redis. */
  close(): Promise<void>;
}

/** For responses to be written. */
const CLOSE_GRACE_MS = 500;

const SILENT = pino({ level: "silent" });

export interface RedisRestOptions extends Pick<HttpServerOptions, "opened"> {
  readonly log?: Logger;
}

/** Starts the server. Throws StartError if Redis cannot be used, and the system's error if the server cannot listen. */
export async function startRedisRest(
  config: RedisRestConfig,
  { log = SILENT, opened }: RedisRestOptions = {},
): Promise<RedisRest> {
  const { host, token, body, memory, connections } = config;
  const redis = await connectRedis(config, log);
  const handle = createRoutes({ redis, token, isMetricsOpen: isLoopbackHost(host), body });
  const server = createHttpServer({ connections, memory, handle, opened });
  server.listen(config.port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    redis.close();
    throw error;
  }
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : config.port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    async close() {
      const closed = once(server, "close");
      server.close();
      // Every batch has an outcome by the deadline; a connection that is open afterwards has not sent its whole request.
      const timer = setTimeout(() => server.closeAllConnections(), config.deadlineMs + CLOSE_GRACE_MS);
      await closed;
      clearTimeout(timer);
      redis.close();
    },
  };
}
