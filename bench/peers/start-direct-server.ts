import { fileURLToPath } from "node:url";
import type { Cleanup } from "../harness/cleanup.ts";
import { freePort } from "../harness/free-port.ts";
import { type Program, startNode } from "../harness/program.ts";
import { startRedis } from "../ours/start-redis.ts";

/** The direct server with a Redis of its own. */
export async function startDirectServer(cleanup: Cleanup): Promise<{ port: number; programs: readonly Program[] }> {
  const redis = await startRedis();
  cleanup.add(redis.program);
  const port = await freePort();
  const file = fileURLToPath(new URL("direct-server.ts", import.meta.url));
  const server = cleanup.add(await startNode("server", file, port, { PORT: String(port), REDIS_URL: redis.url }));
  return { port, programs: [redis.program, server] };
}
