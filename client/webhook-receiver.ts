import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

/** A message whose signature is right. */
export interface ReceivedWebhook {
  /** The same each time that a message is sent. */
  readonly id: string;
  /** What the body says; any JSON. */
  readonly payload: unknown;
}

export interface WebhookReceiverOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** `whsec_` and base64. A message must be signed with one of them. */
  readonly secrets: readonly string[];
  readonly onMessage: (message: ReceivedWebhook) => void;
  /** A request was refused; the sender is told the same. */
  readonly onRefused: (reason: string) => void;
}

/** A message of this project has some hundred bytes. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 100;
const REQUEST_TIMEOUT_MS = 10_000;

/** How far a timestamp may be off (Standard Webhooks, "Verifying webhook authenticity"; the library's own tolerance). */
const TOLERANCE_SECONDS = 5 * 60;

const HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

/** Why a request is refused. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

/** A small HTTP server that takes webhooks by the Standard Webhooks specification and verifies each of them. */
export class WebhookReceiver {
  readonly #options: WebhookReceiverOptions;
  readonly #webhooks: readonly Webhook[];
  readonly #server: Server;

  private constructor(options: WebhookReceiverOptions) {
    this.#options = options;
    this.#webhooks = options.secrets.map((secret) => new Webhook(secret));
    this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      void this.#respond(request, response);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** @throws Error a secret is not base64, or the system's error if the port is taken */
  static async open(options: WebhookReceiverOptions): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(options);
    receiver.#server.listen(options.port, options.host);
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}/`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      this.#options.onMessage(await this.#receive(request));
      response.writeHead(204).end();
    } catch (error) {
      // Without a Refusal, the sender has left.
      if (!(error instanceof Refusal)) return;
      this.#options.onRefused(error.message);
      // The rest of a body that is too long is not read.
      response.writeHead(error.status, { "Content-Type": "text/plain; charset=utf-8", Connection: "close" });
      response.end(`${error.message}\n`);
    }
  }

  async #receive(request: IncomingMessage): Promise<ReceivedWebhook> {
    if (request.method !== "POST") throw new Refusal(405, `${request.method}: a webhook is a POST`);
    const body = await readBody(request);
    const headers = Object.fromEntries(
      HEADERS.map((name) => {
        const value = request.headers[name];
        if (typeof value !== "string" || value === "") throw new Refusal(400, `${name}: the header is missing`);
        return [name, value];
      }),
    ) as Record<(typeof HEADERS)[number], string>;
    checkTimestamp(headers["webhook-timestamp"]);
    this.#verify(body, headers);
    return { id: headers["webhook-id"], payload: parseJson(body) };
  }

  #verify(body: Buffer, headers: Record<string, string>): void {
    const isSigned = this.#webhooks.some((webhook) => {
      try {
        webhook.verify(body, headers, { jsonParse: false });
        return true;
      } catch (error) {
        if (error instanceof WebhookVerificationError) return false;
        throw error;
      }
    });
    if (!isSigned) {
      throw new Refusal(
        401,
        "webhook-signature: not made of this body with this secret (is WEBHOOK_SECRET the same at both ends?)",
      );
    }
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) throw new Refusal(413, `body: allowed are ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The library checks it too, but does not say how far it is off. */
function checkTimestamp(text: string): void {
  const seconds = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(seconds)) throw new Refusal(400, "webhook-timestamp: needed are seconds since 1970");
  const age = Math.floor(Date.now() / 1000) - seconds;
  if (Math.abs(age) <= TOLERANCE_SECONDS) return;
  const off = age > 0 ? `${age} s old` : `${-age} s in the future`;
  throw new Refusal(
    400,
    `webhook-timestamp: ${off}, allowed are ${TOLERANCE_SECONDS} s (does the clock of one end run wrong?)`,
  );
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new Refusal(400, "body: signed, but not JSON");
  }
}
