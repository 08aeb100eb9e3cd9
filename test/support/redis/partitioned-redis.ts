import { freePort } from "../../../dev/free-port.ts";
import { TcpProxy } from "../peers/tcp-proxy.ts";
import { untilInStep } from "./redis-replicas.ts";
import { startSentinels } from "./redis-sentinels.ts";
import { type RedisServer, startRedisServer } from "./redis-server.ts";
import { RespServer, respArray, respBulk } from "./resp-server.ts";

/**
 * A primary and two replicas with three sentinels, and a network that can be parted: on one side the old primary, and what
 * reaches it as `isolatedEnv` says; on the other side the sentinels and the rest.
 */
export interface PartitionedRedis {
  /** What a redis-rest on the side of the sentinels is told. */
  readonly env: Readonly<Record<string, string>>;
  /** For one beside the old primary, with a sentinel there that hears of nothing while the partition lasts. */
  readonly isolatedEnv: Readonly<Record<string, string>>;
  part(): void;
  heal(): void;
  /** Whether the sentinels have promoted a replica. */
  isFailedOver(): Promise<boolean>;
  stop(): Promise<void>;
}

const REPLICAS = 2;
const HOST = "127.0.0.1";

/** `isolatedReplicas` of the two stay with the old primary. */
export async function startPartitionedRedis(isolatedReplicas: 0 | 1): Promise<PartitionedRedis> {
  const ends: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of ends.reverse()) await end();
  };
  const proxies: TcpProxy[] = [];
  /** A server that the other side reaches through a proxy alone, which is also the address that it gives. */
  const startBehindProxy = async (args: readonly string[]): Promise<[RedisServer, TcpProxy]> => {
    const port = await freePort();
    const proxy = await TcpProxy.open(port);
    proxies.push(proxy);
    ends.push(() => proxy.close());
    const announced = ["--replica-announce-ip", HOST, "--replica-announce-port", String(proxy.port)];
    return [await start([...args, ...announced], port), proxy];
  };
  const start = async (args: readonly string[], port?: number): Promise<RedisServer> => {
    const options = { args: ["--repl-diskless-sync-delay", "0", ...args] };
    const server = await startRedisServer(port === undefined ? options : { ...options, port });
    ends.push(() => server.stop());
    return server;
  };
  try {
    const [primary, way] = await startBehindProxy([]);
    for (let index = 0; index < REPLICAS; index++) {
      const isIsolated = index < isolatedReplicas;
      const of = ["--replicaof", HOST, String(isIsolated ? primary.port : way.port)];
      if (isIsolated) await startBehindProxy(of);
      else await start(of);
    }
    await untilInStep(primary, REPLICAS);
    const watch = await startSentinels({ host: HOST, port: way.port }, { replicas: REPLICAS, sentinels: 3 });
    ends.push(watch.stop);

    let isParted = false;
    let named = primary.port;
    const follow = setInterval(async () => {
      const port = await watch.primaryPort().catch(() => way.port);
      if (!isParted) named = port === way.port ? primary.port : port;
    }, 100);
    ends.push(async () => clearInterval(follow));
    const isolatedSentinel = await RespServer.listen(([name, what]) => {
      if (name !== "SENTINEL") return "+OK\r\n";
      return what?.toUpperCase() === "GET-MASTER-ADDR-BY-NAME"
        ? respArray([HOST, String(named)].map(respBulk))
        : respArray([]);
    });
    ends.push(() => isolatedSentinel.close());
    return {
      env: watch.env,
      isolatedEnv: { ...watch.env, REDIS_SENTINELS: `${HOST}:${isolatedSentinel.port}` },
      part() {
        isParted = true;
        for (const proxy of proxies) proxy.isolate();
      },
      heal() {
        isParted = false;
        for (const proxy of proxies) proxy.heal();
      },
      isFailedOver: async () => (await watch.primaryPort()) !== way.port,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
