import type { IncomingMessage } from "node:http";
import type { RequestMemory } from "./request-memory.ts";

/**
 * The whole body; or that it has more than `maxBytes`, or that there is no room for it: no more is kept of it then. A
 * GET's means nothing (RFC 9110 §9.3.1) and is left unread. Rejects when the caller hangs up.
 */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  memory: RequestMemory,
): Promise<Buffer | "too_large" | "no_room"> {
  const { method, headers } = request;
  if (Number(headers["content-length"] ?? 0) > maxBytes) return Promise.resolve("too_large");
  if (method === "GET" || method === "HEAD") return Promise.resolve(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] | undefined = [];
    let size = 0;
    const refuse = (why: "too_large" | "no_room") => {
      chunks = undefined;
      resolve(why);
    };
    request.on("data", (chunk: Buffer) => {
      if (chunks === undefined) return;
      size += chunk.length;
      if (size > maxBytes) refuse("too_large");
      else if (!memory.hold(chunk.length)) refuse("no_room");
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks ?? [])));
    request.on("error", reject);
  });
}
