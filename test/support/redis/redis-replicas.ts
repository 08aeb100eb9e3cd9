import { Redis } from "ioredis";
import { until } from "../until.ts";
import { type RedisServer, type RedisServerOptions, startRedisServer } from "./redis-server.ts";

/** A primary and replicas of it that are in step when the test begins. */
export interface RedisReplication {
  readonly primary: RedisServer;
  readonly replicas: readonly RedisServer[];
  /** All of them, to be stopped in any order. */
  stop(): Promise<void>;
}

/** Starts a real primary and `count` real replicas. */
export async function startRedisReplication(
  count: number,
  options: RedisServerOptions = {},
): Promise<RedisReplication> {
  // Without the delay for further replicas that a diskless synchronisation makes by default.
  const args = [...(options.args ?? []), "--repl-diskless-sync-delay", "0"];
  const primary = await startRedisServer({ ...options, args });
  const replicas: RedisServer[] = [];
  const stop = async () => void (await Promise.all([primary, ...replicas].map((server) => server.stop())));
  try {
    for (let started = 0; started < count; started++) {
      replicas.push(await startRedisServer({ args: [...args, "--replicaof", primary.host, String(primary.port)] }));
    }
    await untilInStep(primary, count);
    return { primary, replicas, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Resolves when that many replicas are online and acknowledge what the primary has sent. */
export async function untilInStep(primary: RedisServer, count: number): Promise<void> {
  await withRedis(primary, (redis) =>
    until(async () => {
      const replication = await redis.info("replication");
      const online = replication.match(/^slave\d+:.*state=online/gm) ?? [];
      if (online.length !== count) return false;
      // Replicated and without a trace: a primary that has sent nothing yet has nothing to be acknowledged.
      await redis.publish("in-step", "");
      return (await redis.wait(count, ACKNOWLEDGE_MS)) === count;
    }),
  );
}

const ACKNOWLEDGE_MS = 100;

/** Uses a connection straight to one server, past whatever the test has in front of it. */
export async function withRedis<T>(server: RedisServer, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.port, server.host);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}
