import { fileURLToPath } from "node:url";
import { type Cleanup, freePort, type Program, startNode } from "../harness/processes.ts";
import { type LoopbackCertificate, startRedis } from "../ours/start-ours.ts";

export interface DirectServerOptions {
  /** What ioredis is told; off by default there. */
  readonly autoPipelining: boolean;
  /** Whether a register keeps indices as Artoria does. */
  readonly indices?: boolean;
}

/** A direct server with a Redis of its own. */
export async function startDirectServer(
  cleanup: Cleanup,
  { autoPipelining, indices = false }: DirectServerOptions,
): Promise<{ port: number; programs: readonly Program[] }> {
  const redis = await startRedis();
  cleanup.add(redis.program);
  const port = await freePort();
  const file = fileURLToPath(new URL("direct-server.ts", import.meta.url));
  const settings = {
    PORT: String(port),
    REDIS_URL: redis.url,
    AUTO_PIPELINING: String(autoPipelining),
    INDICES: String(indices),
  };
  const server = cleanup.add(await startNode({ name: "server", file, port, env: settings }));
  return { port, programs: [redis.program, server] };
}

/** A server with sessions behind connect-redis, in a Redis of its own. */
export interface HttpPeer {
  readonly port: number;
  readonly redisUrl: string;
  readonly programs: readonly Program[];
}

/** Starts one of the session servers of this folder. */
export async function startHttpPeer(cleanup: Cleanup, file: string): Promise<HttpPeer> {
  const redis = await startRedis();
  cleanup.add(redis.program);
  const port = await freePort();
  const path = fileURLToPath(new URL(file, import.meta.url));
  const env = { PORT: String(port), REDIS_URL: redis.url };
  const server = cleanup.add(await startNode({ name: "server", file: path, port, env }));
  return { port, redisUrl: redis.url, programs: [redis.program, server] };
}

export interface RunningSocketIo {
  readonly port: number;
  readonly program: Program;
}

/** A Socket.IO server, with a certificate over TLS. */
export async function startSocketIo(certificate?: LoopbackCertificate): Promise<RunningSocketIo> {
  const port = await freePort();
  const file = fileURLToPath(new URL("socket-io-server.ts", import.meta.url));
  const tls = certificate === undefined ? {} : { TLS_CERT: certificate.cert, TLS_KEY: certificate.key };
  return { port, program: await startNode({ name: "socket.io", file, port, env: { PORT: String(port), ...tls } }) };
}
