import { parseRedisRestConfig } from "../../redis-rest/config.ts";
import { type RedisRest, startRedisRest } from "../../redis-rest/server.ts";

/** The bearer token of every redis-rest that tests start. */
export const REDIS_REST_TOKEN = "test-token-of-32-characters-or-more";

/** Starts redis-rest on a free loopback port, with more of the environment as the test needs it. */
export function startTestRedisRest(env: Readonly<Record<string, string>>): Promise<RedisRest> {
  return startRedisRest(parseRedisRestConfig({ REDIS_REST_PORT: "0", REDIS_REST_TOKEN, ...env }));
}
