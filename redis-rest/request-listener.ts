import type { IncomingMessage, RequestListener } from "node:http";
import { errorAnswer, type HttpAnswer, sendAnswer } from "./http-answer.ts";

/** Answers every request; `url` is that of its target, and the host in it means nothing. */
export type AnswerRequest = (request: IncomingMessage, url: URL) => Promise<HttpAnswer>;

/**
 * Serves on node:http as it is: a framework that makes a web request and response of each took a third of what a request
 * costs.
 */
export function createRequestListener(answerRequest: AnswerRequest): RequestListener {
  async function answerTo(request: IncomingMessage): Promise<HttpAnswer> {
    const url = parseTarget(request.url ?? "");
    return url === null ? errorAnswer(400, "ERR the request's target is not a path") : answerRequest(request, url);
  }

  return function serve(request, response) {
    void answerTo(request)
      .catch(() => errorAnswer(500, "ERR internal error"))
      .then((answer) => sendAnswer(response, answer));
  };
}

/** A request's target as a URL (RFC 9112 §3.2: its origin form or absolute form), or null. */
function parseTarget(target: string): URL | null {
  const url = target.startsWith("/") ? `http://localhost${target}` : target;
  // A URL has "/" for "\", which would make two arguments of one.
  return /^https?:[^\\?]*(\?|$)/i.test(url) ? URL.parse(url) : null;
}
