import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { Redis } from "ioredis";
import { type FaultyRest, startFaultyRest } from "./faulty-rest.ts";
import { REDIS_REST_TOKEN, startTestRedisRest } from "./redis-rest.ts";
import { type RedisServer, startRedisServer } from "./redis-server.ts";

export interface RedisControl {
  readonly url: string;
  close(): Promise<void>;
}

/** A Redis that a test has for itself, with redis-rest in front and a broken redis-rest beside it. */
interface TestRedis {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly faulty: FaultyRest;
  close(): Promise<void>;
}

/**
 * Lets tests inside workerd, which has no processes, start and disturb real Redis servers:
 *
 * - `POST /` starts one and responds `{id, url, faultyUrl, token}`
 * - `POST /<id>/command` runs the command in the JSON body past redis-rest and responds with its reply
 * - `POST /<id>/signal` sends the signal that the JSON body names
 * - `DELETE /<id>` ends it
 */
export async function startRedisControl(): Promise<RedisControl> {
  const started = new Map<string, TestRedis>();

  async function respond(request: IncomingMessage): Promise<unknown> {
    const [, id = "", action] = (request.url ?? "").split("/");
    const body = (await buffer(request)).toString();
    if (id === "") return start(started);
    const known = started.get(id);
    if (known === undefined) throw new Error(`no Redis ${id}`);
    if (request.method === "DELETE") {
      started.delete(id);
      return known.close();
    }
    if (action === "signal") return known.server.signal(JSON.parse(body) as NodeJS.Signals);
    const [name = "", ...args] = JSON.parse(body) as string[];
    return known.redis.call(name, ...args);
  }

  const http = createServer((request, response) => {
    respond(request).then(
      (value) => response.end(JSON.stringify(value ?? null)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    async close() {
      http.closeAllConnections();
      http.close();
      await Promise.all([...started.values()].map((each) => each.close()));
    },
  };
}

async function start(started: Map<string, TestRedis>) {
  const server = await startRedisServer();
  const rest = await startTestRedisRest({ REDIS_URL: server.url });
  const faulty = await startFaultyRest(rest.url);
  const redis = new Redis(server.url);
  const id = String(server.pid);
  started.set(id, {
    server,
    redis,
    faulty,
    async close() {
      server.signal("SIGCONT");
      redis.disconnect();
      await Promise.all([faulty.close(), rest.close()]);
      await server.stop();
    },
  });
  return { id, url: rest.url, faultyUrl: faulty.url, token: REDIS_REST_TOKEN };
}
