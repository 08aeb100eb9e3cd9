import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { errorAnswer, type HttpAnswer, sendAnswer } from "./http-answer.ts";
import { type HeldMemory, RequestMemory } from "./request-memory.ts";

/** Answers every request; `url` is that of its target, and the host in it means nothing. */
export type AnswerRequest = (request: IncomingMessage, url: URL, memory: RequestMemory) => Promise<HttpAnswer>;

export interface RequestListenerOptions {
  readonly answerRequest: AnswerRequest;
  readonly held: HeldMemory;
  /** How long the caller may take to read its answer. */
  readonly unreadMs: number;
}

/**
 * Serves on node:http as it is: a framework that makes a web request and response of each took a third of what a request
 * costs.
 */
export function createRequestListener({ answerRequest, held, unreadMs }: RequestListenerOptions): RequestListener {
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
        untilRead(response, unreadMs, () => memory.release());
      });
  };
}

/** Calls `done` when the answer has left, which for a small one is now; who does not read it in time is left. */
function untilRead(response: ServerResponse, unreadMs: number, done: () => void): void {
  const { socket } = response.req;
  // Without a socket of its own it waits behind another answer of the same connection.
  if (socket.destroyed || (response.socket !== null && socket.writableLength === 0)) {
    done();
    return;
  }
  const timer = setTimeout(() => socket.destroy(), unreadMs);
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
