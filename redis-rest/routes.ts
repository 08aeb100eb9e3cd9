import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { bearerCredential, tokenChecker } from "./bearer-token.ts";
import {
  type ParsedCommands,
  parseCommandBody,
  parseCommandPath,
  parsePipelineBody,
  TOKEN_PARAMETER,
} from "./command-body.ts";
import { refusal } from "./command-policy.ts";
import type { ExecuteBatch } from "./command-router.ts";
import type { CommandTable } from "./command-table.ts";
import type { RedisCommand, RedisReply } from "./redis-connection.ts";
import { errorJson, repliesJson, replyJson, type StringEncoding } from "./reply-json.ts";
import { transactionBatch, transactionReply } from "./transaction.ts";

/** What the routes stand on. */
export interface RedisRestServices {
  readonly token: string;
  readonly table: CommandTable;
  readonly execute: ExecuteBatch;
}

/** As large as the real service's largest plan takes (Upstash, "max request size exceeded": 10 MB). */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

const METHODS: ReadonlySet<string> = new Set(["HEAD", "GET", "POST", "PUT"]);

/** The REST API of Upstash Redis: https://upstash.com/docs/redis/features/restapi. */
export function createRoutes({ token, table, execute }: RedisRestServices): Hono {
  const isToken = tokenChecker(token);
  const app = new Hono();

  app.use(async function authorize(c, next) {
    const shown = bearerCredential(c.req.header("Authorization")) ?? c.req.query(TOKEN_PARAMETER);
    if (!isToken(shown)) return answer(c, 401, errorJson("Unauthorized: the token is missing or invalid"));
    if (!METHODS.has(c.req.method)) return answer(c, 405, errorJson("ERR only HEAD, GET, POST and PUT are allowed"));
    if ((c.req.header("Upstash-Response-Format") ?? "json") !== "json") {
      return answer(c, 400, errorJson("ERR Upstash-Response-Format: only json is supported"));
    }
    return next();
  });
  const countBody = bodyLimit({ maxSize: MAX_BODY_BYTES, onError: tooLarge });
  app.use(function limitBody(c, next) {
    const length = c.req.header("Content-Length");
    // To count would make a web stream of the body, a fifth of a request's work; Node holds a body to its stated length.
    if (length === undefined || c.req.header("Transfer-Encoding") !== undefined) return countBody(c, next);
    return Number(length) > MAX_BODY_BYTES ? Promise.resolve(tooLarge(c)) : next();
  });

  app.post("/", async (c) => runOne(c, parseCommandBody(await c.req.text())));
  app.post("/pipeline", async (c) => runPipeline(c, parsePipelineBody(await c.req.text())));
  app.post("/multi-exec", async (c) => runTransaction(c, parsePipelineBody(await c.req.text())));
  app.all("/*", async (c) => {
    const body = Buffer.from(await c.req.arrayBuffer());
    return runOne(c, parseCommandPath(new URL(c.req.url), body));
  });
  app.onError((_error, c) => answer(c, 500, errorJson("ERR internal error")));

  async function runOne(c: Context, parsed: ParsedCommands): Promise<Response> {
    if (parsed.kind === "malformed") return answer(c, 400, errorJson(parsed.error));
    const replies = await runPermitted(c, parsed.commands);
    if (replies instanceof Response) return replies;
    const reply = replies[0] ?? null;
    return answer(c, reply instanceof Error ? 400 : 200, replyJson(reply, encodingOf(c)));
  }

  async function runPipeline(c: Context, parsed: ParsedCommands): Promise<Response> {
    if (parsed.kind === "malformed") return answer(c, 400, errorJson(parsed.error));
    const replies = await runPermitted(c, parsed.commands);
    return replies instanceof Response ? replies : answer(c, 200, repliesJson(replies, encodingOf(c)));
  }

  async function runTransaction(c: Context, parsed: ParsedCommands): Promise<Response> {
    if (parsed.kind === "malformed") return answer(c, 400, errorJson(parsed.error));
    const refused = parsed.commands.map((command) => refusal(table, command)).find((error) => error !== null);
    if (refused !== undefined) return answer(c, 400, errorJson(refused));
    const { outcome, syncToken } = await execute(transactionBatch(parsed.commands), syncTokenOf(c));
    if (outcome.kind === "unavailable") return answer(c, 503, errorJson(outcome.message));
    const reply = transactionReply(outcome);
    c.header(SYNC_TOKEN_HEADER, syncToken);
    if (reply instanceof Error) return answer(c, 400, errorJson(reply.message));
    return answer(c, 200, repliesJson(reply, encodingOf(c)));
  }

  /** Runs what may be run and puts an error in the place of what may not; a Response when Redis did not answer. */
  async function runPermitted(
    c: Context,
    commands: readonly RedisCommand[],
  ): Promise<readonly RedisReply[] | Response> {
    const refusals = commands.map((command) => refusal(table, command));
    const permitted = commands.filter((_, at) => refusals[at] === null);
    if (permitted.length === 0) return refusals.map((error) => new Error(error ?? ""));
    const { outcome, syncToken } = await execute(permitted, syncTokenOf(c));
    if (outcome.kind === "unavailable") return answer(c, 503, errorJson(outcome.message));
    c.header(SYNC_TOKEN_HEADER, syncToken);
    if (permitted.length === commands.length) return outcome.replies;
    let next = 0;
    return refusals.map((error) => (error === null ? (outcome.replies[next++] ?? null) : new Error(error)));
  }

  return app;
}

function tooLarge(c: Context): Response {
  return answer(c, 413, errorJson(`ERR max request size exceeded. Limit: ${MAX_BODY_BYTES} bytes`));
}

const SYNC_TOKEN_HEADER = "Upstash-Sync-Token";

function syncTokenOf(c: Context): string | undefined {
  return c.req.header(SYNC_TOKEN_HEADER);
}

function encodingOf(c: Context): StringEncoding {
  return c.req.header("Upstash-Encoding") === "base64" ? "base64" : "text";
}

function answer(c: Context, status: 200 | 400 | 401 | 405 | 413 | 500 | 503, json: string): Response {
  return c.body(json, status, { "Content-Type": "application/json" });
}
