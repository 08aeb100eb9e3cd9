import { HttpExchange } from "./http-exchange.ts";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** A load of GET requests, each connection with one at a time. */
export interface HttpJob {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  /** One per request, in turn: what makes it another client's. May be empty texts. */
  readonly headers: readonly string[];
}

const job = loadJob<HttpJob>();
const requests = job.headers.map(
  (header) => `GET ${job.path} HTTP/1.1\r\nHost: 127.0.0.1:${job.port}\r\n${header}${header === "" ? "" : "\r\n"}\r\n`,
);
const exchanges = await Promise.all(Array.from({ length: job.connections }, () => HttpExchange.open(job.port)));
let next = 0;

serveOrders(async (untilMs) => {
  const latenciesMs: number[] = [];
  await Promise.all(exchanges.map((exchange) => askUntil(exchange, untilMs, latenciesMs)));
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0;
  return { done: latenciesMs.length, latencyMs: { p50: at(0.5), p99: at(0.99) } };
});

async function askUntil(exchange: HttpExchange, untilMs: number, latenciesMs: number[]): Promise<void> {
  for (let startMs = performance.now(); startMs < untilMs; ) {
    next = (next + 1) % requests.length;
    const answer = await exchange.ask(requests[next] ?? "");
    if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(`an answer ${answer.slice(0, 40)}`);
    const endMs = performance.now();
    latenciesMs.push(endMs - startMs);
    startMs = endMs;
  }
}
