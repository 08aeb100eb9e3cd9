import { once } from "node:events";
import { type Logger, pino } from "pino";
import { isLoopbackHost } from "../config/loopback.ts";
import type { RedisRestConfig } from "./config.ts";
import { createHttpServer } from "./http/http-server.ts";
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

/** Starts the server. Throws StartError when Redis can't be used, and the socket's own error when it can't listen. */
export async function startRedisRest(config: RedisRestConfig, log: Logger = SILENT): Promise<RedisRest> {
  const { host, token, body, memory, connections } = config;
  const redis = await connectRedis(config, log);
  const handle = createRoutes({ redis, token, isMetricsOpen: isLoopbackHost(host), body });
  const server = createHttpServer({ connections, memory, handle });
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
