import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import ipaddr from "ipaddr.js";
import { type HeldMemory, RequestMemory } from "./request-memory.ts";
import { errorJson } from "./rest-codec.ts";

/** What callers may do to the port before they have shown a token, and how slow they may be. */
export interface ConnectionLimits {
  readonly max: number;
  /** Of one IPv4 address, or one IPv6 network of 64 bits. */
  readonly maxPerAddress: number;
  /** From the connection's beginning, or the last answer's end, until a request's headers are there. */
  readonly headersMs: number;
  /** From the request's first byte until its body is there. */
  readonly bodyMs: number;
  /** For an answer to be read. */
  readonly writeStallTimeoutMs: number;
}

/** How often Node looks for connections that are too slow. */
const LOOK_MS = 500;

/** An HTTP server that keeps to the limits. A connection too many is closed without a word. */
export function createLimitedServer(limits: ConnectionLimits, listener: RequestListener): Server {
  const server = createServer(
    {
      headersTimeout: Math.min(limits.headersMs, limits.bodyMs),
      requestTimeout: limits.bodyMs,
      connectionsCheckingInterval: LOOK_MS,
    },
    listener,
  );
  server.maxConnections = limits.max;
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const address = addressKey(socket.remoteAddress);
    const count = (open.get(address) ?? 0) + 1;
    if (count > limits.maxPerAddress) {
      socket.destroy();
      return;
    }
    open.set(address, count);
    socket.once("close", () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
  });
  return server;
}

/** Who has one IPv6 address has 2^64 of them. */
function addressKey(address = ""): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  return parsed.parts.slice(0, 4).join(":");
}

/** Answers every request; `url` is that of its target, and the host in it means nothing. */
export type AnswerRequest = (request: IncomingMessage, url: URL, memory: RequestMemory) => Promise<HttpAnswer>;

export interface RequestListenerOptions {
  readonly answerRequest: AnswerRequest;
  readonly held: HeldMemory;
  /** How long the caller may take to read its answer. */
  readonly writeStallTimeoutMs: number;
}

/**
 * Serves on node:http as it is: a framework that makes a web request and response of each took a third of what a request
 * costs.
 */
export function createRequestListener({
  answerRequest,
  held,
  writeStallTimeoutMs,
}: RequestListenerOptions): RequestListener {
  async function answerTo(request: IncomingMessage, memory: RequestMemory): Promise<HttpAnswer> {
    const url = parseTarget(request.url ?? "");
    return url === null
      ? errorAnswer(400, "ERR the request's target is not a path")
      : answerRequest(request, url, memory);
  }

  return function serve(request, response) {
    const memory = new RequestMemory(held);
    void answerTo(request, memory)
      .catch(() => errorAnswer(500, "ERR internal error"))
      .then((answer) => {
        sendAnswer(response, answer);
        untilRead(response, writeStallTimeoutMs, () => memory.release());
      });
  };
}

/** Calls `done` when the answer has left, which for a small one is now; who does not read it in time is left. */
function untilRead(response: ServerResponse, writeStallTimeoutMs: number, done: () => void): void {
  const { socket } = response.req;
  // Without a socket of its own it waits behind another answer of the same connection.
  if (socket.destroyed || (response.socket !== null && socket.writableLength === 0)) {
    done();
    return;
  }
  const timer = setTimeout(() => socket.destroy(), writeStallTimeoutMs);
  response.once("close", () => {
    clearTimeout(timer);
    done();
  });
}

/** A request's target as a URL (RFC 9112 §3.2: its origin form or absolute form), or null. */
function parseTarget(target: string): URL | null {
  const url = target.startsWith("/") ? `http://localhost${target}` : target;
  // A URL has "/" for "\", which would make two arguments of one.
  return /^https?:[^\\?]*(\?|$)/i.test(url) ? URL.parse(url) : null;
}

/** What a request comes to. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Goes out as the header Upstash-Sync-Token. */
  readonly syncToken?: string | undefined;
}

export const SYNC_TOKEN_HEADER = "Upstash-Sync-Token";

/** How long the rest of a body that nobody waits for may take before the connection is ended. */
const DISCARD_MS = 500;

export function jsonAnswer(status: number, json: string, syncToken?: string): HttpAnswer {
  return { status, contentType: "application/json", body: json, syncToken };
}

export function errorAnswer(status: number, message: string, syncToken?: string): HttpAnswer {
  return jsonAnswer(status, errorJson(message), syncToken);
}

/** The real service's words for a token that is missing or wrong. */
export function unauthorizedAnswer(): HttpAnswer {
  return errorAnswer(401, "WRONGPASS invalid or missing auth token");
}

export function textAnswer(status: number, body: string): HttpAnswer {
  return { status, contentType: "text/plain; charset=UTF-8", body };
}

/** Writes the answer at once, and discards what is left of the request. */
export function sendAnswer(response: ServerResponse, { status, contentType, body, syncToken }: HttpAnswer): void {
  response.writeHead(status, {
    "Content-Type": contentType,
    "Content-Length": Buffer.byteLength(body),
    ...(syncToken === undefined ? {} : { [SYNC_TOKEN_HEADER]: syncToken }),
  });
  response.end(body);
  if (!response.req.complete) discardRest(response.req);
}

/** A caller that is still sending reads its answer only afterwards, and would not see that of a connection cut at once. */
function discardRest(request: IncomingMessage): void {
  const timer = setTimeout(() => request.socket.destroySoon(), DISCARD_MS);
  request.once("close", () => clearTimeout(timer));
  request.resume();
}
