import type { IncomingMessage, ServerResponse } from "node:http";
import { errorJson } from "./reply-json.ts";

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
