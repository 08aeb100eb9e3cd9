import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Metrics } from "../metrics.ts";
import type { CommandTable } from "../redis/command-policy.ts";
import { refusal } from "../redis/command-policy.ts";
import type { ExecuteBatch } from "../redis/command-router.ts";
import type { BatchOutcome, RedisCommand, RedisReply, ReplyLimit } from "../redis/redis-connection.ts";
import {
  type AnswerRequest,
  errorAnswer,
  type HttpAnswer,
  jsonAnswer,
  SYNC_TOKEN_HEADER,
  textAnswer,
  unauthorizedAnswer,
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

/** What the routes stand on. */
export interface RedisRestServices {
  readonly token: string;
  readonly table: CommandTable;
  readonly execute: ExecuteBatch;
  readonly body: BodyLimits;
}

/** As large as the real service's largest plan takes (Upstash, "max request size exceeded": 10 MB). */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

const METHODS: ReadonlySet<string | undefined> = new Set(["HEAD", "GET", "POST", "PUT"]);

/** The replies of a batch, in its order, or the answer in their stead. */
type BatchResult =
  | { readonly kind: "replies"; readonly replies: readonly RedisReply[]; readonly syncToken?: string }
  | { readonly kind: "answer"; readonly answer: HttpAnswer };

/** The REST API of Upstash Redis: https://upstash.com/docs/redis/features/restapi. */
export function createRoutes({ token, table, execute, body: bodyLimits }: RedisRestServices): AnswerRequest {
  const isToken = tokenChecker(token);

  return async function answerCommand(request, url, memory) {
    const refused = refuse(request, url);
    if (refused !== undefined) return refused;
    const body = await readBody(request, MAX_BODY_BYTES, memory);
    if (body === "no_room") return noRoomAnswer();
    if (body === "too_large") return errorAnswer(413, `ERR max request size exceeded. Limit: ${MAX_BODY_BYTES} bytes`);
    const answer = await answerBody(request, url, body, memory);
    // What came instead of the replies that are missing is not the answer.
    if (memory.replies.trouble === "no_room") return noRoomAnswer();
    return memory.replies.trouble === "too_large" ? tooLargeAnswer(memory.limits) : answer;
  };

  function answerBody(request: IncomingMessage, url: URL, body: Buffer, { replies }: RequestMemory) {
    switch (request.method === "POST" ? url.pathname : undefined) {
      case "/":
        return runOne(request, bound(parseCommandBody(body), replies));
      case "/pipeline":
        return runPipeline(request, bound(parsePipelineBody(body, bodyLimits), replies));
      case "/multi-exec":
        return runTransaction(request, bound(parsePipelineBody(body, bodyLimits), replies));
      default:
        return runOne(request, bound(parseCommandPath(url, body), replies));
    }
  }

  /** What is answered to a request whatever its body is. */
  function refuse(request: IncomingMessage, url: URL): HttpAnswer | undefined {
    const shown = bearerCredential(request.headers.authorization) ?? url.searchParams.get(TOKEN_PARAMETER);
    if (!isToken(shown)) return unauthorizedAnswer();
    if (!METHODS.has(request.method)) return errorAnswer(405, "ERR only HEAD, GET, POST and PUT are allowed");
    if ((headerOf(request, "Upstash-Response-Format") ?? "json") === "json") return undefined;
    return errorAnswer(400, "ERR Upstash-Response-Format: only json is supported");
  }

  async function runOne(request: IncomingMessage, parsed: ParsedCommands): Promise<HttpAnswer> {
    const result = await runPermitted(request, parsed);
    if (result.kind === "answer") return result.answer;
    const reply = result.replies[0] ?? null;
    return jsonAnswer(reply instanceof Error ? 400 : 200, replyJson(reply, encodingOf(request)), result.syncToken);
  }

  async function runPipeline(request: IncomingMessage, parsed: ParsedCommands): Promise<HttpAnswer> {
    const result = await runPermitted(request, parsed);
    if (result.kind === "answer") return result.answer;
    return jsonAnswer(200, repliesJson(result.replies, encodingOf(request)), result.syncToken);
  }

  async function runTransaction(request: IncomingMessage, parsed: ParsedCommands): Promise<HttpAnswer> {
    if (parsed.kind === "malformed") return errorAnswer(400, parsed.error);
    const refused = parsed.commands.map((command) => refusal(table, command)).find((error) => error !== null);
    if (refused !== undefined) return errorAnswer(400, refused);
    const { outcome, syncToken } = await execute(transactionBatch(parsed.commands), syncTokenOf(request));
    if (outcome.kind === "unavailable") return errorAnswer(503, outcome.message);
    const reply = transactionReply(outcome);
    if (reply instanceof Error) return errorAnswer(400, reply.message, syncToken);
    return jsonAnswer(200, repliesJson(reply, encodingOf(request)), syncToken);
  }

  /** Runs what may be run and puts an error in the place of what may not. */
  async function runPermitted(request: IncomingMessage, parsed: ParsedCommands): Promise<BatchResult> {
    if (parsed.kind === "malformed") return { kind: "answer", answer: errorAnswer(400, parsed.error) };
    const { commands } = parsed;
    const refusals = commands.map((command) => refusal(table, command));
    const permitted = commands.filter((_, at) => refusals[at] === null);
    if (permitted.length === 0) return { kind: "replies", replies: refusals.map((error) => new Error(error ?? "")) };
    const { outcome, syncToken } = await execute(permitted, syncTokenOf(request));
    if (outcome.kind === "unavailable") return { kind: "answer", answer: errorAnswer(503, outcome.message) };
    return { kind: "replies", replies: inPlace(refusals, outcome.replies), syncToken };
  }
}

/** Gives each command the limit of its request. */
function bound(parsed: ParsedCommands, limit: ReplyLimit): ParsedCommands {
  if (parsed.kind === "malformed") return parsed;
  return { kind: "commands", commands: parsed.commands.map(({ name, args }) => ({ name, args, limit })) };
}

function tooLargeAnswer({ maxResponseBytes }: MemoryLimits): HttpAnswer {
  return errorAnswer(
    400,
    `ERR max response size exceeded. Limit: ${maxResponseBytes} bytes; what was asked may have happened`,
  );
}

function noRoomAnswer(): HttpAnswer {
  return errorAnswer(503, "ERR too much is held for other requests; what was asked may have happened; try again");
}

/** A reply for each command: of those that were refused the error, of the others what Redis replied, in its order. */
function inPlace(refusals: readonly (string | null)[], replies: readonly RedisReply[]): readonly RedisReply[] {
  if (replies.length === refusals.length) return replies;
  let next = 0;
  return refusals.map((error) => (error === null ? (replies[next++] ?? null) : new Error(error)));
}

function syncTokenOf(request: IncomingMessage): string | undefined {
  return headerOf(request, SYNC_TOKEN_HEADER);
}

function encodingOf(request: IncomingMessage): StringEncoding {
  return headerOf(request, "Upstash-Encoding") === "base64" ? "base64" : "text";
}

/** Node makes one text of a header that comes several times, but for Set-Cookie. */
function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(", ") : value;
}

export interface StatusServices {
  readonly token: string;
  /** Whether /metrics may be read without the token: on loopback. It holds addresses of replicas, though no secret. */
  readonly isMetricsOpen: boolean;
  readonly metrics: Metrics;
  readonly isReady: () => boolean;
}

/** Answers what asks for a status; anything else is `undefined`. */
export type AnswerStatus = (request: IncomingMessage, url: URL) => Promise<HttpAnswer> | undefined;

/** For whoever runs the server: /healthz (the process answers), /readyz (Redis can be asked) and /metrics. */
export function createStatusRoutes({ token, isMetricsOpen, metrics, isReady }: StatusServices): AnswerStatus {
  const isToken = tokenChecker(token);

  return function answerStatus(request, { pathname }) {
    if (request.method !== "GET" && request.method !== "HEAD") return undefined;
    if (pathname === "/healthz") return Promise.resolve(textAnswer(200, "ok"));
    if (pathname === "/readyz") return Promise.resolve(readiness());
    return pathname === "/metrics" ? showMetrics(request) : undefined;
  };

  function readiness(): HttpAnswer {
    return isReady() ? textAnswer(200, "ok") : textAnswer(503, "Redis is not reachable");
  }

  async function showMetrics({ headers }: IncomingMessage): Promise<HttpAnswer> {
    if (!isMetricsOpen && !isToken(bearerCredential(headers.authorization))) {
      return unauthorizedAnswer();
    }
    const { registry } = metrics;
    return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
  }
}

/** Tells whether what a request shows is the token, in a time that does not depend on how much of it is right. */
export type CheckToken = (shown: string | null | undefined) => boolean;

/**
 * Compares as many bytes as the token has, whatever was shown: all of them are looked at, and what was shown has no part
 * in how long that takes. `token` is printable ASCII.
 */
export function tokenChecker(token: string): CheckToken {
  const expected = Buffer.from(token);
  return (shown) => {
    if (shown === null || shown === undefined) return false;
    const bytes = Buffer.alloc(expected.length);
    bytes.write(shown);
    return timingSafeEqual(bytes, expected) && shown.length === token.length;
  };
}

/** The credential of `Authorization: Bearer <credential>` (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1). */
export function bearerCredential(header: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}

/** The commands between MULTI and EXEC, as one batch on one connection. */
export function transactionBatch(commands: readonly RedisCommand[]): readonly RedisCommand[] {
  const limit = commands[0]?.limit;
  const exec = limit === undefined ? { name: "EXEC", args: [] } : { name: "EXEC", args: [], limit };
  return [{ name: "MULTI", args: [] }, ...commands, exec];
}

/**
 * What the batch's replies say: a list with one reply a command, where some may be errors though all were executed; or
 * the one error of a transaction that Redis discarded as a whole.
 */
export function transactionReply(outcome: Extract<BatchOutcome, { kind: "replies" }>): readonly RedisReply[] | Error {
  const executed = outcome.replies.at(-1) ?? null;
  if (Array.isArray(executed)) return executed;
  const cause = outcome.replies.find((reply) => reply instanceof Error);
  const why = cause instanceof Error ? cause.message : "ERR the transaction was not executed";
  return new Error(`EXECABORT Transaction discarded because of previous errors: ${why}`);
}
