import { createServer, type RequestListener, type Server } from "node:http";
import type { Socket } from "node:net";
import ipaddr from "ipaddr.js";

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
  readonly unreadMs: number;
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
