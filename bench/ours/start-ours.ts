import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { freePort } from "../harness/free-port.ts";
import { type Program, startNode } from "../harness/program.ts";
import { startRedis } from "./start-redis.ts";
import { type BuiltWorker, startWorker } from "./start-worker.ts";

const REDIS_REST = fileURLToPath(new URL("../../redis-rest/main.ts", import.meta.url));
const BRIDGE = fileURLToPath(new URL("../../tcp-bridge/main.ts", import.meta.url));

/** As package.json starts both programs. */
export const NODE_OPTIONS = ["--min-semi-space-size=8", "--max-semi-space-size=8"];

/** All of Artoria, each part in its own process, as one deploys it: bridge, workerd, redis-rest, Redis. */
export interface Ours {
  readonly gamePort: number;
  readonly metricsPort: number;
  readonly edgePort: number;
  readonly redisUrl: string;
  readonly apiKey: string;
  readonly programs: readonly Program[];
  stop(): Promise<void>;
}

/** Starts the parts in the order in which they need each other, with their defaults but for `variables` of the worker. */
export async function startOurs(worker: BuiltWorker, variables: Record<string, string> = {}): Promise<Ours> {
  const programs: Program[] = [];
  const stop = async () => {
    for (const program of programs.splice(0).reverse()) await program.stop();
  };
  try {
    const redis = await startRedis();
    programs.push(redis.program);
    const token = randomBytes(24).toString("base64url");
    const restPort = await freePort();
    const rest = { REDIS_URL: redis.url, REDIS_REST_PORT: String(restPort), REDIS_REST_TOKEN: token };
    programs.push(await start("redis-rest", REDIS_REST, restPort, rest));

    const apiKey = randomBytes(24).toString("base64url");
    const { port: edgePort, program } = await startWorker(worker, {
      ...variables,
      API_KEYS: apiKey,
      UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${restPort}`,
      UPSTASH_REDIS_REST_TOKEN: token,
    });
    programs.push(program);

    const gamePort = await freePort();
    const metricsPort = await freePort();
    const bridge = {
      EDGE_URL: `http://127.0.0.1:${edgePort}`,
      API_KEY: apiKey,
      BRIDGE_PORT: String(gamePort),
      METRICS_PORT: String(metricsPort),
      LOG_LEVEL: "warn",
    };
    programs.push(await start("bridge", BRIDGE, gamePort, bridge));
    return { gamePort, metricsPort, edgePort, redisUrl: redis.url, apiKey, programs: [...programs], stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function start(name: string, file: string, port: number, env: Record<string, string>): Promise<Program> {
  return startNode({ name, file, port, env, nodeOptions: NODE_OPTIONS });
}
