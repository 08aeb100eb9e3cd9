import { parseStackConfig } from "../../../dev/config.ts";
import { type Stack, startStack } from "../../../dev/stack.ts";
import { type RedisServer, startRedisServer } from "../redis/redis-server.ts";

/** The stores that the whole stack is tried on. */
export const STORES = ["embedded", "redis"] as const;
export type StoreName = (typeof STORES)[number];

/** The whole stack as `npm start` runs it, on any free ports. */
export interface RunningStack extends Stack {
  readonly apiKey: string;
  /** The Redis that holds the sessions; undefined with the embedded store. */
  readonly redis: RedisServer | undefined;
}

/**
 * Starts the stack on a store of its own; `environment` is what a developer would set for `npm start`, `transformScript`
 * changes the worker before it starts.
 */
export async function startStackOn(
  store: StoreName,
  environment: Record<string, string> = {},
  transformScript?: (script: string) => string,
): Promise<RunningStack> {
  const redis = store === "redis" ? await startRedisServer() : undefined;
  try {
    const config = parseStackConfig({
      ...{
        EDGE_PORT: "0",
        BRIDGE_PORT: "0",
        PLAYER_PORT: "0",
        METRICS_PORT: "0",
        CHECK_PORT: "0",
        REDIS_REST_PORT: "0",
      },
      ...(redis && { REDIS_URL: redis.url }),
      ...environment,
    });
    const stack = await startStack(config, { transformScript });
    return {
      ...stack,
      apiKey: config.apiKey,
      redis,
      close: async () => {
        await stack.close();
        await redis?.stop();
      },
    };
  } catch (error) {
    await redis?.stop();
    throw error;
  }
}

/** Asks the edge as a service, with `body` as JSON. */
export function askAsService(
  stack: Pick<RunningStack, "edgeUrl" | "apiKey">,
  method: string,
  path: string,
  body?: unknown,
): Promise<Response> {
  return fetch(`${stack.edgeUrl}${path}`, {
    method,
    headers: { Authorization: `Bearer ${stack.apiKey}`, "Content-Type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

/** Sends the form of the login page. */
export async function logIn(edgeUrl: string, user: string, password: string): Promise<Response> {
  const response = await fetch(`${edgeUrl}/login`, {
    method: "POST",
    headers: { Origin: edgeUrl },
    body: new URLSearchParams({ user, password }),
    redirect: "manual",
  });
  await response.arrayBuffer();
  return response;
}

/** So many logins at once, of names that nobody has: they cost as much as those of others. */
export function logInAtOnce(edgeUrl: string, logins: number): Promise<Response[]> {
  return Promise.all(
    Array.from({ length: logins }, (_, index) => logIn(edgeUrl, `nobody-${index}`, "correct horse battery")),
  );
}
