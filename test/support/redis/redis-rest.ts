import { parseRedisRestConfig } from "../../../redis-rest/config.ts";
import { type RedisRest, startRedisRest } from "../../../redis-rest/server.ts";

/** The bearer token of every redis-rest that tests start. */
export const REDIS_REST_TOKEN = "test-token-of-32-characters-or-more";

/** Starts redis-rest on a free loopback port, with more of the environment as the test needs it. */
export function startTestRedisRest(env: Readonly<Record<string, string>>): Promise<RedisRest> {
  return startRedisRest(parseRedisRestConfig({ REDIS_REST_PORT: "0", REDIS_REST_TOKEN, ...env }));
}

export interface RestResponse {
  readonly status: number;
  readonly text: string;
  readonly json: unknown;
  readonly headers: Headers;
}

/** One HTTP call to redis-rest, without any client in between; the token is shown unless the headers say otherwise. */
export async function restCall(rest: RedisRest, path: string, init: RequestInit = {}): Promise<RestResponse> {
  const headers = { Authorization: `Bearer ${REDIS_REST_TOKEN}`, ...(init.headers as Record<string, string>) };
  const response = await fetch(`${rest.url}${path}`, { ...init, headers });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, text, json, headers: response.headers };
}

/** `POST` of a JSON body: a command to `/`, commands to `/pipeline` and `/multi-exec`. */
export function restPost(
  rest: RedisRest,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<RestResponse> {
  return restCall(rest, path, { method: "POST", body: JSON.stringify(body), headers });
}
