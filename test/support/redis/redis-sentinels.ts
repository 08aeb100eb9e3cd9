import { Redis } from "ioredis";
import { until } from "../until.ts";
import { type RedisReplication, startRedisReplication, withRedis } from "./redis-replicas.ts";
import { type RedisServer, startRedisServer } from "./redis-server.ts";

/** A primary, its replicas, and sentinels that agree about them and will fail over. */
export interface RedisWithSentinels extends RedisReplication {
  readonly sentinels: readonly RedisServer[];
  /** What redis-rest is told to find the primary. */
  readonly env: { readonly REDIS_SENTINELS: string; readonly REDIS_MASTER: string };
  /** The port that the sentinels give as the primary's now. */
  primaryPort(): Promise<number>;
}

const MASTER_NAME = "sessions";
/** How long the primary must be silent before the sentinels call it down. */
const DOWN_AFTER_MS = 1_000;
/** Between two attempts at a failover, should the first not succeed. */
const FAILOVER_TIMEOUT_MS = 5_000;

/** Starts real servers and real sentinels, a majority of which must agree, and waits until they all know each other. */
export async function startRedisWithSentinels(counts: {
  readonly replicas: number;
  readonly sentinels: number;
}): Promise<RedisWithSentinels> {
  const replication = await startRedisReplication(counts.replicas);
  try {
    const watch = await startSentinels(replication.primary, counts);
    return {
      ...replication,
      ...watch,
      async stop() {
        // The sentinels first, or they would fail over while the servers go.
        await watch.stop();
        await replication.stop();
      },
    };
  } catch (error) {
    await replication.stop();
    throw error;
  }
}

/** Starts the sentinels of a primary that runs already; `primary` is how they reach it, and tell others to. */
export async function startSentinels(
  primary: { readonly host: string; readonly port: number },
  counts: { readonly replicas: number; readonly sentinels: number },
): Promise<Pick<RedisWithSentinels, "sentinels" | "env" | "primaryPort" | "stop">> {
  const sentinels: RedisServer[] = [];
  const stop = async () => void (await Promise.all(sentinels.map((sentinel) => sentinel.stop())));
  try {
    const sentinelConfig = configOf(primary, Math.floor(counts.sentinels / 2) + 1);
    for (let started = 0; started < counts.sentinels; started++) {
      sentinels.push(await startRedisServer({ sentinelConfig }));
    }
    await Promise.all(sentinels.map((sentinel) => untilAllKnown(sentinel, counts)));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    sentinels,
    env: {
      REDIS_SENTINELS: sentinels.map(({ host, port }) => `${host}:${port}`).join(","),
      REDIS_MASTER: MASTER_NAME,
    },
    primaryPort: () => primaryPortAt(sentinels),
    stop,
  };
}

function configOf(primary: { readonly host: string; readonly port: number }, quorum: number): string {
  return [
    `sentinel monitor ${MASTER_NAME} ${primary.host} ${primary.port} ${quorum}`,
    `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${MASTER_NAME} ${FAILOVER_TIMEOUT_MS}`,
    `sentinel parallel-syncs ${MASTER_NAME} 1`,
    "",
  ].join("\n");
}

/** A sentinel learns of the others and of the replicas through the primary, in its own time. */
async function untilAllKnown(sentinel: RedisServer, counts: { replicas: number; sentinels: number }): Promise<void> {
  await withRedis(sentinel, (redis) =>
    until(async () => {
      const replicas = await redis.call("SENTINEL", "REPLICAS", MASTER_NAME);
      const others = await redis.call("SENTINEL", "SENTINELS", MASTER_NAME);
      const known = [replicas, others].map((list) => (Array.isArray(list) ? list.length : 0));
      return known[0] === counts.replicas && known[1] === counts.sentinels - 1;
    }),
  );
}

async function primaryPortAt([first]: readonly RedisServer[]): Promise<number> {
  if (first === undefined) throw new Error("there are no sentinels");
  const redis = new Redis(first.port, first.host);
  try {
    const address = await redis.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME);
    return Array.isArray(address) ? Number(address[1]) : Number.NaN;
  } finally {
    redis.disconnect();
  }
}
