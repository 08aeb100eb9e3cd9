import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { HTTPException } from "hono/http-exception";
import { isLoopbackHost, MIN_KEY_CHARACTERS } from "../../config/loopback.ts";
import type { AppEnv } from "../app-env.ts";
import { sameSecret } from "../session-store/secrets.ts";
import { addressKey, clientAddress } from "./client-address.ts";
import { problem } from "./problem.ts";

/** The window of the WRONG_KEY_LIMIT binding in wrangler.toml. */
const WRONG_KEY_WINDOW_SECONDS = 60;

/**
 * Lets services in: `Authorization: Bearer <any of API_KEYS>`. The refusals: 503 `not_configured` if no key is configured, 401
 * without a key or with a wrong one, 429 for an address that has sent too many wrong ones. A right key is never limited.
 */
export function requireApiKey(): MiddlewareHandler<AppEnv> {
  const authenticate = bearerAuth<AppEnv>({
    realm: "artoria",
    verifyToken: (shown, c) => isAnyOf(shown, c.get("config").apiKeys) && mayBeShort(shown, c),
  });
  return async function requireApiKey(c, next) {
    if (c.get("config").apiKeys.length === 0) return problem(c, "not_configured", "API_KEYS: no key is configured");
    try {
      await authenticate(c, async () => {});
    } catch (error) {
      if (!(error instanceof HTTPException)) throw error;
      return refuse(c);
    }
    return next();
  };
}

/**
 * A short key can be guessed, so it is valid only for requests to a loopback host, also of a proxy. A page in the developer's browser
 * whose host name resolves to loopback (DNS rebinding) requests that name, and is refused.
 */
function mayBeShort(key: string, c: Context<AppEnv>): boolean {
  const host = c.req.header("X-Forwarded-Host") ?? c.req.header("Host");
  const requested = host === undefined ? [c.req.url] : [c.req.url, `http://${host}`];
  return key.length >= MIN_KEY_CHARACTERS || requested.every((url) => isLoopbackHost(URL.parse(url)?.hostname ?? ""));
}

async function refuse(c: Context<AppEnv>): Promise<Response> {
  if (c.req.header("Authorization") === undefined) return problem(c, "unauthenticated", "Authorization: Bearer <key>");
  const key = await addressKey(clientAddress(c, c.get("config")));
  const { success } = await c.env.WRONG_KEY_LIMIT.limit({ key });
  if (success) return problem(c, "unauthenticated", "Authorization: not a valid API key");
  c.header("Retry-After", String(WRONG_KEY_WINDOW_SECONDS));
  return problem(c, "too_many", "Authorization: too many wrong keys from this address");
}

/**
 * Compares with every key, so that the time tells nothing but lengths. It hashes nothing, because it runs once per batch of
 * packets: two digests in hexadecimal were a ninth of the worker's time.
 */
function isAnyOf(shown: string, keys: readonly string[]): boolean {
  return keys.filter((key) => sameSecret(key, shown)).length > 0;
}
