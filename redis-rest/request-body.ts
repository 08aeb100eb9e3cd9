import type { IncomingMessage } from "node:http";

/**
 * The whole body, or undefined when it has more than `maxBytes`; no more is kept of it. A GET's means nothing (RFC 9110
 * §9.3.1) and is left unread. Rejects when the caller hangs up.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const { method, headers } = request;
  if (Number(headers["content-length"] ?? 0) > maxBytes) return Promise.resolve(undefined);
  if (method === "GET" || method === "HEAD") return Promise.resolve(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) resolve(undefined);
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
  });
}
