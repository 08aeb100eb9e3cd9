import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { generate } from "selfsigned";
import { freePort, type Program, startNode, startProgram } from "../harness/processes.ts";
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

/** Variables of some parts, over their defaults. */
export interface OursVariables {
  readonly edge?: Readonly<Record<string, string>>;
  readonly bridge?: Readonly<Record<string, string>>;
}

/** Starts the parts in the order in which they need each other. */
export async function startOurs(worker: BuiltWorker, variables: OursVariables = {}): Promise<Ours> {
  const programs: Program[] = [];
  const stop = async () => {
    for (const program of programs.splice(0).reverse()) await program.stop();
  };
  try {
    const redis = await startRedis();
    programs.push(redis.program);
    const rest = await startRedisRest(redis.url);
    programs.push(rest.program);

    const apiKey = randomBytes(24).toString("base64url");
    const { port: edgePort, program } = await startWorker(worker, {
      ...variables.edge,
      API_KEYS: apiKey,
      UPSTASH_REDIS_REST_URL: `http://127.0.0.1:${rest.port}`,
      UPSTASH_REDIS_REST_TOKEN: rest.token,
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
      ...variables.bridge,
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

export interface RunningRedisRest {
  readonly port: number;
  readonly token: string;
  readonly program: Program;
}

export async function startRedisRest(redisUrl: string): Promise<RunningRedisRest> {
  const token = randomBytes(24).toString("base64url");
  const port = await freePort();
  const env = { REDIS_URL: redisUrl, REDIS_REST_PORT: String(port), REDIS_REST_TOKEN: token };
  return { port, token, program: await start("redis-rest", REDIS_REST, port, env) };
}

export interface RunningRedis {
  readonly url: string;
  readonly program: Program;
}

/** A redis-server in memory alone, as each side of a measurement has its own. */
export async function startRedis(): Promise<RunningRedis> {
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const program = await startProgram({ name: "redis", command: "redis-server", args, port });
  return { url: `redis://127.0.0.1:${port}`, program };
}

/** All players of a measurement come from one address. */
const MAX_PLAYERS = 10_000;

export interface RunningPlayerBridge {
  readonly playerPort: number;
  readonly program: Program;
}

/** A bridge with a player port, in front of the same edge as the rest. */
export async function startPlayerBridge(ours: Ours, { cert, key }: LoopbackCertificate): Promise<RunningPlayerBridge> {
  const playerPort = await freePort();
  const env = {
    EDGE_URL: `http://127.0.0.1:${ours.edgePort}`,
    API_KEY: ours.apiKey,
    BRIDGE_PORT: String(await freePort()),
    METRICS_PORT: String(await freePort()),
    PLAYER_HOST: "127.0.0.1",
    PLAYER_PORT: String(playerPort),
    PLAYER_TLS_CERT: cert,
    PLAYER_TLS_KEY: key,
    PLAYER_MAX_CONNECTIONS_PER_ADDRESS: String(MAX_PLAYERS),
    LOG_LEVEL: "error",
  };
  return {
    playerPort,
    program: await startNode({ name: "player bridge", file: BRIDGE, port: playerPort, env, nodeOptions: NODE_OPTIONS }),
  };
}

/** A certificate that is its own authority, and its key, PEM. */
export interface LoopbackCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What both sides of a measurement over TLS show: an EC key, so that a handshake costs neither of them an RSA signature. */
export async function loopbackCertificate(): Promise<LoopbackCertificate> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
    ],
  });
  return { cert, key };
}
