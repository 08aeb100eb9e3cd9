import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../../dev/free-port.ts";
import { TcpProxy } from "../peers/tcp-proxy.ts";
import { BridgeProgram } from "../processes/bridge-program.ts";
import { killWorkerd } from "../processes/workerd.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "../redis/redis-rest.ts";
import { type RedisWithSentinels, startRedisWithSentinels } from "../redis/redis-sentinels.ts";
import { type RedisServer, startRedisServer } from "../redis/redis-server.ts";
import { type Edge, type EdgeConfig, startEdge } from "../workerd/miniflare-edge.ts";
import { BackEnd, GameServer, type SessionCaller } from "./session-callers.ts";

/** What a history may need that is not so in every one. */
export interface HistoryStageOptions {
  /** Of both workers. */
  readonly workerVariables?: Readonly<Record<string, string>>;
  readonly transformScript?: EdgeConfig["transformScript"];
  /** Of Node, when it runs the bridges. */
  readonly bridgeNodeArgs?: readonly string[];
  /** The idle lifetime that back ends choose for sessions; absent: the configured one. */
  readonly ttlSeconds?: number;
  /** `sentinels`: two replicas, one of which must have a write before it is answered. */
  readonly redis?: "alone" | "sentinels";
}

const API_KEY = "key";
const READERS_PER_BRIDGE = 4;
const WRITERS_PER_BRIDGE = 3;
const READERS_PER_EDGE = 1;
const WRITERS_PER_EDGE = 3;

/** Whether each of them only reads. */
function places(readers: number, writers: number): readonly boolean[] {
  return [...Array(readers).fill(true), ...Array(writers).fill(false)];
}

/**
 * Two bridges, two workers and one Redis behind redis-rest, each a process of its own but redis-rest. The first bridge reaches
 * the first worker through a proxy, the second bridge the second worker; each worker has a hub.
 */
export class HistoryStage {
  readonly edges: readonly [RestartableEdge, RestartableEdge];
  readonly bridges: readonly [BridgeProgram, BridgeProgram];
  /** Between the first bridge and the first worker. */
  readonly proxy: TcpProxy;
  readonly redis: RestartableRedis | RedisWithSentinels;
  readonly #ttl: Pick<HistoryStageOptions, "ttlSeconds">;
  readonly #stops: readonly (() => Promise<unknown>)[];

  private constructor(
    parts: Pick<HistoryStage, "edges" | "bridges" | "proxy" | "redis">,
    { ttlSeconds }: HistoryStageOptions,
    stops: readonly (() => Promise<unknown>)[],
  ) {
    this.#ttl = ttlSeconds === undefined ? {} : { ttlSeconds };
    this.edges = parts.edges;
    this.bridges = parts.bridges;
    this.proxy = parts.proxy;
    this.redis = parts.redis;
    this.#stops = stops;
  }

  static async open(options: HistoryStageOptions = {}): Promise<HistoryStage> {
    const stops: (() => Promise<unknown>)[] = [];
    const started = async <T>(part: Promise<T>, stop: (part: T) => Promise<unknown>): Promise<T> => {
      const running = await part;
      stops.unshift(() => stop(running));
      return running;
    };
    try {
      const redis =
        options.redis === "sentinels"
          ? await started(startRedisWithSentinels({ replicas: 2, sentinels: 3 }), (servers) => servers.stop())
          : await started(RestartableRedis.start(), (server) => server.stop());
      const rest = await started(startTestRedisRest(redis.env), (server) => server.close());
      const edgeConfig = {
        variables: {
          ...{ API_KEYS: API_KEY, SESSION_STORE: "redis" },
          ...{ UPSTASH_REDIS_REST_URL: rest.url, UPSTASH_REDIS_REST_TOKEN: REDIS_REST_TOKEN },
          ...options.workerVariables,
        },
        transformScript: options.transformScript,
      };
      const startEdgeOnce = () => started(RestartableEdge.start(edgeConfig), (edge) => edge.close());
      const edges = [await startEdgeOnce(), await startEdgeOnce()] as const;
      const proxy = await started(TcpProxy.open(Number(new URL(edges[0].url).port)), (opened) => opened.close());
      const startBridge = (edgeUrl: string) => {
        // The address of all callers is one, and they ask for sessions that are not there.
        const variables = { BRIDGE_MAX_FAILURES_PER_MINUTE: "1000000000" };
        const nodeArgs = options.bridgeNodeArgs ?? [];
        return started(BridgeProgram.start({ edgeUrl, variables, nodeArgs }), (bridge) => bridge.kill());
      };
      const bridges = [await startBridge(`http://127.0.0.1:${proxy.port}`), await startBridge(edges[1].url)] as const;
      return new HistoryStage({ edges, bridges, proxy, redis }, options, stops);
    } catch (error) {
      for (const stop of stops) await stop();
      throw error;
    }
  }

  /** Those that a load has: as many at each bridge, and at each worker. A write may take a bound, so that most only read. */
  callers(): SessionCaller[] {
    const servers = this.bridges.flatMap(({ gamePort: port }, bridge) =>
      places(READERS_PER_BRIDGE, WRITERS_PER_BRIDGE).map(
        (onlyReads, index) => new GameServer(`${index + 1} at bridge ${bridge + 1}`, { port, onlyReads }),
      ),
    );
    const backEnds = this.edges.flatMap(({ url }, edge) =>
      places(READERS_PER_EDGE, WRITERS_PER_EDGE).map((onlyReads, index) => {
        const options = { url, apiKey: API_KEY, onlyReads, ...this.#ttl };
        return new BackEnd(`${index + 1} at edge ${edge + 1}`, options);
      }),
    );
    return [...servers, ...backEnds];
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) await stop();
  }
}

type EdgeParts = Omit<EdgeConfig, "host" | "port">;

/** The bundled worker, with a method of its hub that ends it as the runtime may at any time. Miniflare evicts only idle ones. */
function withAbort(script: string): string {
  return `${script}\nSessionHub.prototype.abort = function () { this.ctx.abort("aborted by a test"); };\n`;
}

/** A worker that can be killed and started again at the same address. */
export class RestartableEdge {
  readonly url: string;
  readonly #config: EdgeParts;
  #edge: Edge;

  private constructor(config: EdgeParts, edge: Edge) {
    this.#config = config;
    this.#edge = edge;
    this.url = edge.url;
  }

  static async start({ transformScript, ...parts }: EdgeParts): Promise<RestartableEdge> {
    const config = { ...parts, transformScript: (script: string) => withAbort(transformScript?.(script) ?? script) };
    return new RestartableEdge(config, await startEdge({ host: "127.0.0.1", port: 0, ...config }));
  }

  async kill(): Promise<void> {
    await killWorkerd(this.#edge);
    await this.#edge.close();
  }

  async startAgain(): Promise<void> {
    const { hostname: host, port } = new URL(this.url);
    this.#edge = await startEdge({ host, port: Number(port), ...this.#config });
  }

  /** Takes the hub's memory and its connections away. */
  async abortHub(): Promise<void> {
    const hubs = await this.#edge.miniflare.getDurableObjectNamespace("SESSION_HUB");
    const hub = hubs.getByName("hub") as unknown as { abort(): Promise<void> };
    // The call ends with the object.
    await hub.abort().catch(() => undefined);
  }

  close(): Promise<void> {
    return this.#edge.close();
  }
}

/** A Redis that writes each change to its append-only file before it answers, and that can be killed. */
export class RestartableRedis {
  readonly env: { readonly REDIS_URL: string };
  readonly #directory: string;
  readonly #port: number;
  #server: RedisServer;

  private constructor(directory: string, server: RedisServer) {
    this.#directory = directory;
    this.#server = server;
    this.#port = server.port;
    this.env = { REDIS_URL: server.url };
  }

  static async start(): Promise<RestartableRedis> {
    const directory = await mkdtemp(join(tmpdir(), "artoria-append-only-"));
    return new RestartableRedis(directory, await startOn(directory, await freePort()));
  }

  async kill(): Promise<void> {
    this.#server.signal("SIGKILL");
    await this.#server.exited;
    await this.#server.stop();
  }

  async startAgain(): Promise<void> {
    this.#server = await startOn(this.#directory, this.#port);
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function startOn(directory: string, port: number): Promise<RedisServer> {
  return startRedisServer({ port, args: ["--appendonly", "yes", "--appendfsync", "always", "--dir", directory] });
}
