import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { refusal } from "../redis/command-policy.ts";
import type { BatchOutcome, RedisCommand, RedisReply, ReplyLimit } from "../redis/redis-connection.ts";
import type { RedisService } from "../redis/redis-service.ts";
import {
  errorResponse,
  type HandleRequest,
  type HttpResponse,
  jsonResponse,
  SYNC_TOKEN_HEADER,
  textResponse,
} from "./http-server.ts";
import { type MemoryLimits, type RequestMemory, readBody } from "./request-memory.ts";
import {
  type BodyLimits,
  type ParsedCommands,
  parseCommandBody,
  parseCommandPath,
  parsePipelineBody,
  repliesJson,
  replyJson,
  type StringEncoding,
  TOKEN_PARAMETER,
} from "./rest-codec.ts";

export interface RoutesOptions {
  readonly redis: Pick<RedisService, "table" | "execute" | "metrics" | "isReady">;
  readonly token: string;
  /** Whether /metrics may be read without the token, as on loopback: it has addresses of replicas, though no secret. */
  readonly isMetricsOpen: boolean;
  readonly body: BodyLimits;
}

/** The largest request that the real service accepts in any plan (Upstash, "max request size exceeded": 10 MB). */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

const METHODS: ReadonlySet<string | undefined> = new Set(["HEAD", "GET", "POST", "PUT"]);

/** Serves the REST API of Upstash Redis (https://upstash.com/docs/redis/features/restapi), and the status for operators. */
export function createRoutes(options: RoutesOptions): HandleRequest {
  const isToken = tokenChecker(options.token);
  const status = createStatusRoutes(options, isToken);
  const commands = createCommandRoutes(options, isToken);
  return (request, url, memory) => status(request, url) ?? commands(request, url, memory);
}

/** `POST /`, `/pipeline` and `/multi-exec` with commands in the body; any other path is a command itself. */
function createCommandRoutes({ redis, body: bodyLimits }: RoutesOptions, isToken: CheckToken): HandleRequest {
  const { table, execute } = redis;

  return async function handleCommands(request, url, memory) {
    const refused = refuse(request, url);
    if (refused !== undefined) return refused;
    const body = await readBody(request, MAX_BODY_BYTES, memory);
    if (body === "no_room") return noRoomResponse();
    if (body === "too_large") {
      return errorResponse(413, `ERR max request size exceeded. Limit: ${MAX_BODY_BYTES} bytes`);
    }
    const response = await run(request, url, body, memory);
    // If replies are missing, the response is not the one that the caller asked for.
    if (memory.replies.trouble === "no_room") return noRoomResponse();
    return memory.replies.trouble === "too_large" ? tooLargeResponse(memory.limits) : response;
  };

  /** The response to a request that is wrong whatever its body contains. */
  function refuse(request: IncomingMessage, url: URL): HttpResponse | undefined {
    const shown = bearerCredential(request.headers.authorization) ?? url.searchParams.get(TOKEN_PARAMETER);
    if (!isToken(shown)) return unauthorizedResponse();
    if (!METHODS.has(request.method)) return errorResponse(405, "ERR only HEAD, GET, POST and PUT are allowed");
    if ((headerOf(request, "Upstash-Response-Format") ?? "json") === "json") return undefined;
    return errorResponse(400, "ERR Upstash-Response-Format: only json is supported");
  }

  function run(request: IncomingMessage, url: URL, body: Buffer, { replies }: RequestMemory): Promise<HttpResponse> {
    switch (request.method === "POST" ? url.pathname : undefined) {
      case "/":
        return runOne(request, limited(parseCommandBody(body), replies));
      case "/pipeline":
        return runPipeline(request, limited(parsePipelineBody(body, bodyLimits), replies));
      case "/multi-exec":
        return runTransaction(request, limited(parsePipelineBody(body, bodyLimits), replies));
      default:
        return runOne(request, limited(parseCommandPath(url, body), replies));
    }
  }

  async function runOne(request: IncomingMessage, parsed: ParsedCommands): Promise<HttpResponse> {
    const result = await runPermitted(request, parsed);
    if (result.kind === "response") return result.response;
    const reply = result.replies[0] ?? null;
    return jsonResponse(reply instanceof Error ? 400 : 200, replyJson(reply, encodingOf(request)), result.syncToken);
  }

  async function runPipeline(request: IncomingMessage, parsed: ParsedCommands): Promise<HttpResponse> {
    const result = await runPermitted(request, parsed);
    if (result.kind === "response") return result.response;
    return jsonResponse(200, repliesJson(result.replies, encodingOf(request)), result.syncToken);
  }

  /** Executes the permitted commands; each of the others has an error in its place. */
  async function runPermitted(request: IncomingMessage, parsed: ParsedCommands): Promise<BatchResult> {
    if (parsed.kind === "malformed") return { kind: "response", response: errorResponse(400, parsed.error) };
    const { commands } = parsed;
    const refusals = commands.map((command) => refusal(table, command));
    const permitted = commands.filter((_, at) => refusals[at] === null);
    if (permitted.length === 0) return { kind: "replies", replies: refusals.map((error) => new Error(error ?? "")) };
    const { outcome, syncToken } = await execute(permitted, syncTokenOf(request));
    if (outcome.kind === "unavailable") return { kind: "response", response: errorResponse(503, outcome.message) };
    return { kind: "replies", replies: inPlace(refusals, outcome.replies), syncToken };
  }

  async function runTransaction(request: IncomingMessage, parsed: ParsedCommands): Promise<HttpResponse> {
    if (parsed.kind === "malformed") return errorResponse(400, parsed.error);
    const refused = parsed.commands.map((command) => refusal(table, command)).find((error) => error !== null);
    if (refused !== undefined) return errorResponse(400, refused);
    const { outcome, syncToken } = await execute(transactionBatch(parsed.commands), syncTokenOf(request));
    if (outcome.kind === "unavailable") return errorResponse(503, outcome.message);
    const reply = transactionReply(outcome);
    if (reply instanceof Error) return errorResponse(400, reply.message, syncToken);
    return jsonResponse(200, repliesJson(reply, encodingOf(request)), syncToken);
  }
}

/** The replies to a batch, in its order, or the response in their place. */
type BatchResult =
  | { readonly kind: "replies"; readonly replies: readonly RedisReply[]; readonly syncToken?: string }
  | { readonly kind: "response"; readonly response: HttpResponse };

/** Gives each command the limit of its request. */
function limited(parsed: ParsedCommands, limit: ReplyLimit): ParsedCommands {
  if (parsed.kind === "malformed") return parsed;
  return { kind: "commands", commands: parsed.commands.map(({ name, args }) => ({ name, args, limit })) };
}

/** A reply for each command: the error of one that was refused, else the next of Redis's replies. */
function inPlace(refusals: readonly (string | null)[], replies: readonly RedisReply[]): readonly RedisReply[] {
  if (replies.length === refusals.length) return replies;
  let next = 0;
  return refusals.map((error) => (error === null ? (replies[next++] ?? null) : new Error(error)));
}

/** The commands between MULTI and EXEC, as one batch on one connection. */
function transactionBatch(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const limit = commands[0]?.limit;
  const exec = limit === undefined ? { name: "EXEC", args: [] } : { name: "EXEC", args: [], limit };
  return [{ name: "MULTI", args: [] }, ...commands, exec];
}

/**
 * The replies of EXEC, one for each command; some may be errors though all commands were executed. Or the error of a
 * transaction that Redis discarded as a whole.
 */
function transactionReply(outcome: Extract<BatchOutcome, { kind: "replies" }>): readonly RedisReply[] | Error {
  const executed = outcome.replies.at(-1) ?? null;
  if (Array.isArray(executed)) return executed;
  const cause = outcome.replies.find((reply) => reply instanceof Error);
  const why = cause instanceof Error ? cause.message : "ERR the transaction was not executed";
  return new Error(`EXECABORT Transaction discarded because of previous errors: ${why}`);
}

function tooLargeResponse({ maxResponseBytes }: MemoryLimits): HttpResponse {
  return errorResponse(
    400,
    `ERR max response size exceeded. Limit: ${maxResponseBytes} bytes; what was asked may have happened`,
  );
}

function noRoomResponse(): HttpResponse {
  return errorResponse(503, "ERR too much is held for other requests; what was asked may have happened; try again");
}

/** The real service's words for a token that is missing or wrong. */
function unauthorizedResponse(): HttpResponse {
  return errorResponse(401, "WRONGPASS invalid or missing auth token");
}

function syncTokenOf(request: IncomingMessage): string | undefined {
  return headerOf(request, SYNC_TOKEN_HEADER);
}

function encodingOf(request: IncomingMessage): StringEncoding {
  return headerOf(request, "Upstash-Encoding") === "base64" ? "base64" : "text";
}

/** Node joins the values of a header that comes several times, except for Set-Cookie. */
function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(", ") : value;
}

/** /healthz (the process responds), /readyz (Redis can be asked) and /metrics; undefined for any other request. */
function createStatusRoutes({ redis, isMetricsOpen }: RoutesOptions, isToken: CheckToken) {
  return function handleStatus(request: IncomingMessage, { pathname }: URL): Promise<HttpResponse> | undefined {
    if (request.method !== "GET" && request.method !== "HEAD") return undefined;
    if (pathname === "/healthz") return Promise.resolve(textResponse(200, "ok"));
    if (pathname === "/readyz") return Promise.resolve(readiness());
    return pathname === "/metrics" ? showMetrics(request) : undefined;
  };

  function readiness(): HttpResponse {
    return redis.isReady() ? textResponse(200, "ok") : textResponse(503, "Redis is not reachable");
  }

  async function showMetrics({ headers }: IncomingMessage): Promise<HttpResponse> {
    if (!isMetricsOpen && !isToken(bearerCredential(headers.authorization))) return unauthorizedResponse();
    const { registry } = redis.metrics;
    return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
  }
}

type CheckToken = (shown: string | null | undefined) => boolean;

/**
 * Compares what a request shows with the token, in a time that depends on neither: it always compares as many bytes as the
 * token has. `token` is printable ASCII.
 */
function tokenChecker(token: string): CheckToken {
  const expected = Buffer.from(token);
  return (shown) => {
    if (shown === null || shown === undefined) return false;
    const bytes = Buffer.alloc(expected.length);
    bytes.write(shown);
    return timingSafeEqual(bytes, expected) && shown.length === token.length;
  };
}

/** The credential of `Authorization: Bearer <credential>` (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1). */
function bearerCredential(header: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}
