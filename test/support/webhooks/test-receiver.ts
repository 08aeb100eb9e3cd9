import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { Changes } from "../changes.ts";

/** A secret of as many bytes as a new one has. */
export function webhookSecret(value: number): string {
  return `whsec_${Buffer.alloc(32, value).toString("base64")}`;
}

/** What the receiver got, verified by the specification's own library. */
export interface ReceivedMessage {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly data: {
    readonly position: string;
    readonly at: number;
    readonly reason: string;
    readonly sessid: number;
    readonly user: string | null;
  };
  readonly headers: IncomingMessage["headers"];
  readonly path: string;
  readonly body: string;
}

/** A receiver of webhooks that treats them as a test says. */
export class TestReceiver {
  readonly port: number;
  /** Every request with a valid signature, also those that are not answered 2xx. */
  readonly messages: ReceivedMessage[] = [];
  /** Errors of the library that verifies, and requests that are no webhooks. */
  readonly faults: string[] = [];
  /** Responds to a message; by default 204. */
  respond: (response: ServerResponse, message: ReceivedMessage) => void = (response) => response.writeHead(204).end();
  readonly #server: Server;
  readonly #webhook: Webhook;
  readonly #changes = new Changes();

  private constructor(server: Server, secret: string) {
    this.#server = server;
    this.#webhook = new Webhook(secret);
    this.port = (server.address() as AddressInfo).port;
    server.on("request", (request, response) => void this.#receive(request, response));
  }

  /** @param port 0 is any free one */
  static async open(secret: string, port = 0): Promise<TestReceiver> {
    const server = createServer().listen(port, "127.0.0.1");
    await once(server, "listening");
    return new TestReceiver(server, secret);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook?from=artoria`;
  }

  /** The numbers of the sessions whose ends came, each message at its first time. */
  get sessids(): number[] {
    const first = new Map(this.messages.map(({ id, data }) => [id, data.sessid]));
    return [...first.values()];
  }

  until(reached: () => boolean): Promise<void> {
    return this.#changes.until(reached);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    if (this.#server.listening) await once(this.#server, "close");
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { headers, url: path = "", method } = request;
    try {
      if (method !== "POST") throw new Error(`a ${method}`);
      const payload = this.#webhook.verify(body, headers as Record<string, string>) as Omit<ReceivedMessage, "id">;
      const message = { ...payload, id: String(headers["webhook-id"]), headers, path, body };
      this.messages.push(message);
      this.respond(response, message);
    } catch (error) {
      this.faults.push(String(error));
      response.writeHead(401).end();
    }
    this.#changes.notify();
  }
}
