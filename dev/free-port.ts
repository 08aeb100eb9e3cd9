import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { StackConfig } from "./config.ts";

/**
 * Makes sure that the ports of `npm start` can be listened on, so that a taken one is one clear line and not workerd's.
 *
 * @throws Error naming the variable
 */
export async function assertPortsFree(config: StackConfig): Promise<void> {
  await assertFree("EDGE_PORT", "127.0.0.1", config.edgePort);
  await assertFree("BRIDGE_PORT", config.bridgeHost, config.bridgePort);
  await assertFree("PLAYER_PORT", config.playerHost, config.playerPort);
  await assertFree("METRICS_PORT", "127.0.0.1", config.metricsPort);
  await assertFree("CHECK_PORT", config.checkHost, config.checkPort);
  if (config.redisUrl !== undefined) await assertFree("REDIS_REST_PORT", "127.0.0.1", config.redisRestPort);
}

async function assertFree(variable: string, host: string, port: number): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  server.listen({ host, port, exclusive: true });
  try {
    await once(server, "listening");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "EADDRINUSE" ? "is taken" : `cannot be listened on (${code})`;
    throw new Error(
      `${variable}: port ${port} of ${host} ${why}; set ${variable} to another port, or to 0 for any free one`,
    );
  }
  server.close();
  await once(server, "close");
}

/** From here on, systems give ports to clients: Linux from 32768, others from 49152. Below, a free port stays free for a while. */
const CLIENTS_PORTS = 32_768;
const FIRST_PORT = 10_000;
const MAX_TRIES = 100;

/**
 * A port that was free a moment ago, for programs that cannot choose one themselves. Another program may take it first; a client
 * does not.
 *
 * @throws Error nothing can listen on this host
 */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = randomInt(FIRST_PORT, CLIENTS_PORTS);
    const server = createServer();
    server.listen({ host, port, exclusive: true });
    try {
      await once(server, "listening");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EADDRINUSE" && tries < MAX_TRIES) continue;
      throw error;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}
