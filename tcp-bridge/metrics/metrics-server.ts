import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

/** Whether the bridge should be sent work now; if not, why. */
export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string };

/** The port of those who watch: `/metrics`, `/healthz` (the process is alive), `/readyz`. */
export class MetricsServer {
  readonly #server: Server;

  constructor(registry: Registry, readiness: () => Promise<Readiness>, onFault: (error: unknown) => void) {
    this.#server = createServer((request, response) => {
      answer(request, response, registry, readiness).catch((error: unknown) => {
        onFault(error);
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
    });
  }

  /** Starts to listen. Rejects with the system's error, EADDRINUSE for one. */
  async open(host: string, port: number): Promise<AddressInfo> {
    this.#server.listen({ host, port });
    await once(this.#server, "listening");
    return this.#server.address() as AddressInfo;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  registry: Registry,
  readiness: () => Promise<Readiness>,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") return end(response, 405, "text/plain", "only GET\n");
  switch (request.url) {
    case "/metrics":
      return end(response, 200, registry.contentType, await registry.metrics());
    case "/healthz":
      return end(response, 200, "application/json", '{"alive":true}\n');
    case "/readyz": {
      const state = await readiness();
      return end(response, state.ready ? 200 : 503, "application/json", `${JSON.stringify(state)}\n`);
    }
    default:
      return end(response, 404, "text/plain", "/metrics, /healthz or /readyz\n");
  }
}

function end(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { "Content-Type": contentType, "Cache-Control": "no-store" });
  response.end(body);
}
