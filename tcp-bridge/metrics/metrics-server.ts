import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { PlaceLimits } from "../core/admission.ts";
import { HttpPlaces } from "../core/http-places.ts";
import type { Versions } from "../edge/edge-version.ts";

/** Whether the bridge can serve requests now; if not, why; and the versions of both. */
export type Readiness = Versions & ({ readonly ready: true } | { readonly ready: false; readonly reason: string });

/** Where the metrics are served, and the limits for their readers. */
export interface MetricsServerConfig {
  readonly host: string;
  readonly port: number;
  /** Connections at the same time. The next one takes the place of the one that has waited longest without a request. */
  readonly maxConnections: number;
  /** How long the headers may take from the start of the connection or the request. */
  readonly headersMs: number;
  /** How long the whole request may take, and a response that is not read. */
  readonly requestMs: number;
}

/** How often Node checks its timeouts. Its default of 30 s would delay every shorter one. */
const MAX_CHECK_INTERVAL_MS = 500;

const EXPOSITIONS_AT_ONCE = 20;
const EXPOSITIONS_PER_SECOND = 10;

/** Serves `/metrics`, `/healthz` (the process is alive) and `/readyz` over HTTP. */
export class MetricsServer {
  readonly #config: MetricsServerConfig;
  readonly #server: Server;
  readonly #onFault: (error: unknown) => void;

  constructor(
    config: MetricsServerConfig,
    registry: Registry,
    readiness: () => Promise<Readiness>,
    onFault: (error: unknown) => void,
  ) {
    this.#config = config;
    this.#onFault = onFault;
    const { headersMs, requestMs } = config;
    const exposition = new Exposition(registry);
    const options = {
      headersTimeout: Math.min(headersMs, requestMs),
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(MAX_CHECK_INTERVAL_MS, Math.ceil(headersMs / 2)),
    };
    this.#server = createServer(options, (request, response) => {
      serve(request, response, exposition, readiness).catch((error: unknown) => {
        onFault(error);
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
    });
    // Many requests on one connection would occupy the event loop, and refusing each would cost as much as serving it.
    this.#server.maxRequestsPerSocket = 1;
    this.#server.on("dropRequest", (_request, socket) => socket.destroy());
    this.#server.setTimeout(requestMs);
    const places = new HttpPlaces(this.#server, false, placeLimits(config), () => undefined);
    this.#server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
      const peer = places.peerOf(socket);
      peer?.requestBegan();
      response.once("close", () => peer?.requestEnded());
    });
  }

  /** Starts to listen. Rejects with the system's error, for example EADDRINUSE. */
  async open(): Promise<AddressInfo> {
    const { host, port } = this.#config;
    this.#server.listen({ host, port });
    await once(this.#server, "listening");
    // A failed accept (too many open files) is no reason to stop: the next one may succeed.
    this.#server.on("error", this.#onFault);
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

/** All readers share the places: one of them may hold many. */
function placeLimits({ maxConnections }: MetricsServerConfig): PlaceLimits {
  return { maxConnections, maxConnectionsPerAddress: maxConnections };
}

/** The metrics as text. Rendering takes time that the game port needs, so readers that are too frequent get the last text again. */
class Exposition {
  readonly contentType: string;
  readonly #registry: Registry;
  #text: Promise<string> | undefined;
  #spare = EXPOSITIONS_AT_ONCE;
  #atMs = performance.now();

  constructor(registry: Registry) {
    this.#registry = registry;
    this.contentType = registry.contentType;
  }

  text(): Promise<string> {
    const nowMs = performance.now();
    const refilled = this.#spare + ((nowMs - this.#atMs) * EXPOSITIONS_PER_SECOND) / 1000;
    this.#spare = Math.min(EXPOSITIONS_AT_ONCE, refilled);
    this.#atMs = nowMs;
    if (this.#text !== undefined && this.#spare < 1) return this.#text;
    this.#spare -= 1;
    this.#text = this.#registry.metrics();
    return this.#text;
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  exposition: Exposition,
  readiness: () => Promise<Readiness>,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") return end(response, 405, "text/plain", "only GET\n");
  switch (request.url) {
    case "/metrics":
      return end(response, 200, exposition.contentType, await exposition.text());
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
  response.writeHead(status, { "Content-Type": contentType, "Cache-Control": "no-store", Connection: "close" });
  response.end(body);
}
