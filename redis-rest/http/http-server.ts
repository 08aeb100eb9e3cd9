import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import ipaddr from "ipaddr.js";
import { HeldMemory, type MemoryLimits, RequestMemory } from "./request-memory.ts";
import { errorJson } from "./rest-codec.ts";

/** What callers may do before they have shown a token, and how slow they may be. */
export interface ConnectionLimits {
  readonly max: number;
  /** Of one IPv4 address, or one IPv6 network of 64 bits. */
  readonly maxPerAddress: number;
  /** From the beginning of the connection, or the end of the last response, until a request's headers have arrived. */
  readonly headersMs: number;
  /** From the request's first byte until its body has arrived. */
  readonly bodyMs: number;
  /** How long the caller may take to read a response. */
  readonly writeStallTimeoutMs: number;
}

export interface HttpServerOptions {
  readonly connections: ConnectionLimits;
  readonly memory: MemoryLimits;
  readonly handle: HandleRequest;
  /** Until it resolves, requests wait and get no response; undefined: they never wait. */
  readonly opened?: Promise<void> | undefined;
}

/** Responds to a request. `url` is the request's target; the host in it means nothing. */
export type HandleRequest = (request: IncomingMessage, url: URL, memory: RequestMemory) => Promise<HttpResponse>;

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Sent in the header Upstash-Sync-Token. */
  readonly syncToken?: string | undefined;
}

export const SYNC_TOKEN_HEADER = "Upstash-Sync-Token";

export function jsonResponse(status: number, json: string, syncToken?: string): HttpResponse {
  return { status, contentType: "application/json", body: json, syncToken };
}

export function errorResponse(status: number, message: string, syncToken?: string): HttpResponse {
  return jsonResponse(status, errorJson(message), syncToken);
}

export function textResponse(status: number, body: string): HttpResponse {
  return { status, contentType: "text/plain; charset=UTF-8", body };
}

/** How often Node looks for connections that are too slow. */
const LOOK_MS = 500;

/** How long the rest of an unwanted body may take before the connection is closed. */
const DISCARD_MS = 500;

/**
 * An HTTP server within limits. It uses node:http directly: a framework that creates a web Request and Response for each
 * request took a third of what a request costs.
 */
export function createHttpServer({ connections, memory, handle, opened }: HttpServerOptions): Server {
  const held = new HeldMemory(memory);
  const server = createServer(
    {
      headersTimeout: Math.min(connections.headersMs, connections.bodyMs),
      requestTimeout: connections.bodyMs,
      connectionsCheckingInterval: LOOK_MS,
    },
    (request, response) => {
      const requestMemory = new RequestMemory(held);
      void (
        opened === undefined
          ? handleTarget(request, requestMemory, handle)
          : opened.then(() => handleTarget(request, requestMemory, handle))
      )
        .catch(() => errorResponse(500, "ERR internal error"))
        .then((result) => {
          send(response, result);
          whenRead(response, connections.writeStallTimeoutMs, () => requestMemory.release());
        });
    },
  );
  limitConnections(server, connections);
  return server;
}

async function handleTarget(
  request: IncomingMessage,
  memory: RequestMemory,
  handle: HandleRequest,
): Promise<HttpResponse> {
  const url = parseTarget(request.url ?? "");
  return url === null ? errorResponse(400, "ERR the request's target is not a path") : handle(request, url, memory);
}

/** A request's target as a URL (RFC 9112 §3.2: its origin form or absolute form), or null. */
function parseTarget(target: string): URL | null {
  const url = target.startsWith("/") ? `http://localhost${target}` : target;
  // URL replaces "\" by "/", which would make two arguments of one.
  return /^https?:[^\\?]*(\?|$)/i.test(url) ? URL.parse(url) : null;
}

/** Writes the response at once, and discards what is left of the request. */
function send(response: ServerResponse, { status, contentType, body, syncToken }: HttpResponse): void {
  response.writeHead(status, {
    "Content-Type": contentType,
    "Content-Length": Buffer.byteLength(body),
    ...(syncToken === undefined ? {} : { [SYNC_TOKEN_HEADER]: syncToken }),
  });
  response.end(body);
  if (!response.req.complete) discardRest(response.req);
}

/** A caller that is still sending reads the response afterwards; it would lose one after which the connection is cut. */
function discardRest(request: IncomingMessage): void {
  const timer = setTimeout(() => request.socket.destroySoon(), DISCARD_MS);
  request.once("close", () => clearTimeout(timer));
  request.resume();
}

/** Calls `done` when the caller has read the response, at once for a small one; a caller that is too slow is disconnected. */
function whenRead(response: ServerResponse, writeStallTimeoutMs: number, done: () => void): void {
  const { socket } = response.req;
  // Without a socket the response waits behind another one of the same connection.
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

/** Closes a connection too many without a response. */
function limitConnections(server: Server, { max, maxPerAddress }: ConnectionLimits): void {
  server.maxConnections = max;
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const address = addressKey(socket.remoteAddress);
    const count = (open.get(address) ?? 0) + 1;
    if (count > maxPerAddress) {
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
}

/** A caller with one IPv6 address has 2^64 of them, so its /64 network counts as one. */
function addressKey(address = ""): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  return parsed.parts.slice(0, 4).join(":");
}
