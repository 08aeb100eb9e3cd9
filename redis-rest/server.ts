import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { RedisRestConfig } from "./config.ts";
import { withinDeadline } from "./deadline.ts";
import { connectPrimary } from "./primary.ts";
import { runOn } from "./redis-connection.ts";
import { createRoutes } from "./routes.ts";

export interface RedisRest {
  readonly url: string;
  readonly port: number;
  /** Answers what is in flight, then lets go of the port and of Redis. */
  close(): Promise<void>;
}

/** Starts the server. Throws StartError when Redis can't be used, and the socket's own error when the port is taken. */
export async function startRedisRest(config: RedisRestConfig): Promise<RedisRest> {
  const primary = await connectPrimary(config);
  const routes = createRoutes({
    token: config.token,
    table: primary.table,
    execute: async (commands) => ({
      outcome: await withinDeadline(runOn(primary.connection, commands), config.deadlineMs),
      syncToken: "0",
    }),
  });
  const server = createServer(getRequestListener(routes.fetch));
  server.listen(config.port, config.host);
  try {
    await once(server, "listening");
  } catch (error) {
    primary.connection.disconnect();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.host.includes(":") ? `[${config.host}]` : config.host}:${port}`,
    port,
    async close() {
      server.close();
      server.closeIdleConnections();
      await once(server, "close");
      primary.connection.disconnect();
    },
  };
}
