import { fileURLToPath } from "node:url";
import type { Cleanup } from "../harness/cleanup.ts";
import { freePort } from "../harness/free-port.ts";
import { type Program, startNode } from "../harness/program.ts";
import { startRedis } from "../ours/start-redis.ts";

/** A direct server with a Redis of its own; `autoPipelining` is what ioredis is told, off by default there. */
export async function startDirectServer(
  cleanup: Cleanup,
  autoPipelining: boolean,
): Promise<{ port: number; programs: readonly Program[] }> {
  const redis = await startRedis();
  cleanup.add(redis.program);
  const port = await freePort();
  const file = fileURLToPath(new URL("direct-server.ts", import.meta.url));
  const settings = { PORT: String(port), REDIS_URL: redis.url, AUTO_PIPELINING: String(autoPipelining) };
  const server = cleanup.add(await startNode({ name: "server", file, port, env: settings }));
  return { port, programs: [redis.program, server] };
}
