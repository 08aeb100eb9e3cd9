import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { loadJob, serveOrders } from "./serve-orders.ts";

/** A load of GET requests, each connection with one at a time. */
export interface HttpJob {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  /** Header lines, one of them for each request in turn: they make it another client's. A line may be empty. */
  readonly headers: readonly string[];
}

const HEAD_END = "\r\n\r\n";

/** Each measured server states the length of its body, or sends none. */
const LENGTH = /^content-length: *(\d+)/im;

/**
 * One keep-alive connection with one request at a time. It reads the status and the length of a response and nothing else: a
 * full HTTP client would use more of the machine than the server that it measures.
 */
class HttpExchange {
  readonly #socket: Socket;
  #received = "";
  #respond: ((text: string) => void) | undefined;

  private constructor(port: number) {
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => this.#receive(text));
  }

  static async open(port: number): Promise<HttpExchange> {
    const exchange = new HttpExchange(port);
    await once(exchange.#socket, "connect");
    exchange.#socket.on("close", () => {
      throw new Error("the server closed the connection");
    });
    return exchange;
  }

  /** Sends a whole request and resolves with the whole response. */
  send(request: string): Promise<string> {
    return new Promise((resolve) => {
      this.#respond = resolve;
      this.#socket.write(request, "latin1");
    });
  }

  #receive(text: string): void {
    this.#received += text;
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const bodyBytes = Number(LENGTH.exec(this.#received.slice(0, headEnd))?.[1] ?? 0);
    if (this.#received.length < headEnd + HEAD_END.length + bodyBytes) return;
    const response = this.#received;
    this.#received = "";
    this.#respond?.(response);
  }
}

const job = loadJob<HttpJob>();
const requests = job.headers.map(
  (header) => `GET ${job.path} HTTP/1.1\r\nHost: 127.0.0.1:${job.port}\r\n${header}${header === "" ? "" : "\r\n"}\r\n`,
);
const exchanges = await Promise.all(Array.from({ length: job.connections }, () => HttpExchange.open(job.port)));
let next = 0;

serveOrders(async (untilMs) => {
  const latenciesMs: number[] = [];
  await Promise.all(exchanges.map((exchange) => sendUntil(exchange, untilMs, latenciesMs)));
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0;
  return { done: latenciesMs.length, latencyMs: { p50: at(0.5), p99: at(0.99) } };
});

async function sendUntil(exchange: HttpExchange, untilMs: number, latenciesMs: number[]): Promise<void> {
  for (let startMs = performance.now(); startMs < untilMs; ) {
    next = (next + 1) % requests.length;
    const response = await exchange.send(requests[next] ?? "");
    if (!response.startsWith("HTTP/1.1 200 ")) throw new Error(`the server responded ${response.slice(0, 40)}`);
    const endMs = performance.now();
    latenciesMs.push(endMs - startMs);
    startMs = endMs;
  }
}
