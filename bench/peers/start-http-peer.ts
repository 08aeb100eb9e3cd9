import { fileURLToPath } from "node:url";
import type { Cleanup } from "../harness/cleanup.ts";
import { freePort } from "../harness/free-port.ts";
import { type Program, startNode } from "../harness/program.ts";
import { startRedis } from "../ours/start-redis.ts";

/** A server with sessions behind connect-redis, in a Redis of its own. */
export interface HttpPeer {
  readonly port: number;
  readonly programs: readonly Program[];
  /** The ids of its sessions. */
  readonly ids: readonly string[];
}

/** Starts one of the session servers of this folder with so many sessions. */
export async function startHttpPeer(cleanup: Cleanup, file: string, sessions: number): Promise<HttpPeer> {
  const redis = await startRedis();
  cleanup.add(redis.program);
  const ids = Array.from({ length: sessions }, (_, index) => `bench-${index}`.padEnd(32, "x"));
  await fillConnectRedis(redis.url, ids);
  const port = await freePort();
  const path = fileURLToPath(new URL(file, import.meta.url));
  const server = cleanup.add(
    await startNode({ name: "server", file: path, port, env: { PORT: String(port), REDIS_URL: redis.url } }),
  );
  return { port, programs: [redis.program, server], ids };
}

async function fillConnectRedis(url: string, ids: readonly string[]): Promise<void> {
  // A fresh clone has the peers' packages only after the bench has begun (install-peers.ts).
  const { createClient } = await import("redis");
  const client = await createClient({ url }).connect();
  const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: "/" };
  await Promise.all(
    ids.map((id, index) =>
      client.set(`sess:${id}`, JSON.stringify({ cookie, user: `user-${index}` }), {
        expiration: { type: "EX", value: 1800 },
      }),
    ),
  );
  await client.close();
}
