import type { IncomingMessage } from "node:http";
import { bearerCredential, tokenChecker } from "./bearer-token.ts";
import { type HttpAnswer, textAnswer, unauthorizedAnswer } from "./http-answer.ts";
import type { Metrics } from "./metrics.ts";

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
