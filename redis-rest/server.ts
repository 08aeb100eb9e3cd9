import { once } from "node:events";
import { type Logger, pino } from "pino";
import { isLoopbackHost } from "../config/loopback.ts";
import type { RedisRestConfig } from "./config.ts";
import { createLimitedServer, createRequestListener } from "./http/http-server.ts";
import { HeldMemory } from "./http/request-memory.ts";
import { createRoutes, createStatusRoutes } from "./http/routes.ts";
import { connectRedis } from "./redis/redis-service.ts";

export interface RedisRest {
  readonly url: string;
  readonly port: number;
  /** Answers what is in flight, then lets go of the port and of Redis. */
  close(): Promise<void>;
}

/** For answers to be written. */
const CLOSE_GRACE_MS = 500;

const SILENT = pino({ level: "silent" });

/** Starts the server. Throws StartError when Redis can't be used, and the socket's own error when it can't listen. */
export async function startRedisRest(config: RedisRestConfig, log: Logger = SILENT): Promise<RedisRest> {
  const { host, token } = config;
  const redis = await connectRedis(config, log);
  const { metrics, isReady, table, execute } = redis;
  const status = createStatusRoutes({ token, isMetricsOpen: isLoopbackHost(host), metrics, isReady });
  const commands = createRoutes({ token, table, execute, body: config.body });
  const listener = createRequestListener({
    answerRequest: (request, url, memory) => status(request, url) ?? commands(request, url, memory),
    held: new HeldMemory(config.memory),
    writeStallTimeoutMs: config.connections.writeStallTimeoutMs,
  });
  const server = createLimitedServer(config.connections, listener);
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
      // Every batch has its answer by the deadline; whoever is connected after it has not finished asking.
      const timer = setTimeout(() => server.closeAllConnections(), config.deadlineMs + CLOSE_GRACE_MS);
      await closed;
      clearTimeout(timer);
      redis.close();
    },
  };
}
